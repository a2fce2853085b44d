/** The batch-norm layers of ResNet-50 (He et al. 2016; torchvision's `resnet50`, stride in the 3×3 convolution). */

/** Channels and plane side of one layer's input. */
export interface PlaneSize {
  readonly channels: number;
  readonly side: number;
}

/** What a bottleneck block multiplies its channels by at its end. */
const EXPANSION = 4;

/** Blocks and inner channels of the four stages. */
const STAGES = [
  { blocks: 3, planes: 64 },
  { blocks: 4, planes: 128 },
  { blocks: 6, planes: 256 },
  { blocks: 3, planes: 512 },
] as const;

/**
 * The 53 layers in the order of the forward pass.
 * @param imageSide - pixels, a multiple of 32.
 */
export function resnet50Layers(imageSide = 224): PlaneSize[] {
  const layers: PlaneSize[] = [{ channels: 64, side: imageSide / 2 }];
  let side = imageSide / 4;
  STAGES.forEach(({ blocks, planes }, stage) => {
    for (let block = 0; block < blocks; block++) {
      const isFirst = block === 0;
      // The first 1×1 convolution of a block works on what the stage before left; the 3×3 one halves it.
      layers.push({ channels: planes, side });
      if (isFirst && stage > 0) side /= 2;
      layers.push({ channels: planes, side }, { channels: planes * EXPANSION, side });
      if (isFirst) layers.push({ channels: planes * EXPANSION, side });
    }
  });
  return layers;
}
