//! One batch norm layer of candle with its tensors resident, for `bench/peers/candle.ts`.

use candle_core::{Device, Result, Tensor, Var, backprop::GradStore};
use candle_nn::BatchNorm;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

const EPS: f64 = 1e-5;

/// A layer in training, its input and the gradient of its output, in (N, C, …) order.
#[wasm_bindgen]
pub struct Layer {
    layer: BatchNorm,
    x: Var,
    dy: Tensor,
    weight: Var,
    bias: Var,
}

#[wasm_bindgen]
impl Layer {
    /// # Errors
    ///
    /// Where an array does not have the values of its shape.
    #[wasm_bindgen(constructor)]
    pub fn new(
        shape: Vec<usize>,
        x: &[f32],
        dy: &[f32],
        weight: &[f32],
        bias: &[f32],
    ) -> std::result::Result<Layer, JsError> {
        Ok(Self::place(shape, x, dy, weight, bias)?)
    }

    /// The output alone.
    ///
    /// # Errors
    ///
    /// As candle tells.
    pub fn forward(&self) -> std::result::Result<(), JsError> {
        self.layer.forward_train(self.x.as_tensor())?;
        Ok(())
    }

    /// Forward and backward: candle keeps the graph in the output.
    ///
    /// # Errors
    ///
    /// As candle tells.
    pub fn step(&self) -> std::result::Result<(), JsError> {
        self.run()?;
        Ok(())
    }

    /// y, dx, dweight and dbias of one step, end to end.
    ///
    /// # Errors
    ///
    /// As candle tells.
    pub fn results(&self) -> std::result::Result<Vec<f32>, JsError> {
        let (y, gradients) = self.run()?;
        let mut values = y.flatten_all()?.to_vec1::<f32>()?;
        for of in [&self.x, &self.weight, &self.bias] {
            if let Some(gradient) = gradients.get(of.as_tensor()) {
                values.extend(gradient.flatten_all()?.to_vec1::<f32>()?);
            }
        }
        Ok(values)
    }

    fn place(shape: Vec<usize>, x: &[f32], dy: &[f32], weight: &[f32], bias: &[f32]) -> Result<Self> {
        let device = Device::Cpu;
        let per_channel = |values: &[f32]| Var::from_slice(values, values.len(), &device);
        let (weight, bias) = (per_channel(weight)?, per_channel(bias)?);
        let channels = weight.elem_count();
        let mean = Tensor::zeros(channels, candle_core::DType::F32, &device)?;
        let variance = Tensor::ones(channels, candle_core::DType::F32, &device)?;
        let parameters = (weight.as_tensor().clone(), bias.as_tensor().clone());
        Ok(Self {
            layer: BatchNorm::new(channels, mean, variance, parameters.0, parameters.1, EPS)?,
            x: Var::from_slice(x, shape.clone(), &device)?,
            dy: Tensor::from_slice(dy, shape, &device)?,
            weight,
            bias,
        })
    }

    /// Backward begins with ones; those of y · dy become dy.
    fn run(&self) -> Result<(Tensor, GradStore)> {
        let y = self.layer.forward_train(self.x.as_tensor())?;
        let gradients = y.mul(&self.dy)?.backward()?;
        Ok((y, gradients))
    }
}
