;; What the machine allows a WebAssembly kernel that reads B or 2B bytes and writes B bytes.
;; The loops take `bytes` divisible by 64 and move four vectors a turn, so that the loop itself costs nothing.
(module
  (memory (export "memory") 1)

  ;; target[i] = source[i]
  (func (export "copy") (param $target i32) (param $source i32) (param $bytes i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $source) (local.get $bytes)))
    (loop $turn
      (v128.store (local.get $target) (v128.load (local.get $source)))
      (v128.store offset=16 (local.get $target) (v128.load offset=16 (local.get $source)))
      (v128.store offset=32 (local.get $target) (v128.load offset=32 (local.get $source)))
      (v128.store offset=48 (local.get $target) (v128.load offset=48 (local.get $source)))
      (local.set $target (i32.add (local.get $target) (i32.const 64)))
      (local.set $source (i32.add (local.get $source) (i32.const 64)))
      (br_if $turn (i32.lt_u (local.get $source) (local.get $end)))))

  ;; target[i] = a · source[i] + b, in f32
  (func (export "affine") (param $target i32) (param $source i32) (param $bytes i32) (param $a f32) (param $b f32)
    (local $end i32)
    (local $as v128)
    (local $bs v128)
    (local.set $end (i32.add (local.get $source) (local.get $bytes)))
    (local.set $as (f32x4.splat (local.get $a)))
    (local.set $bs (f32x4.splat (local.get $b)))
    (loop $turn
      (v128.store (local.get $target)
        (f32x4.add (f32x4.mul (v128.load (local.get $source)) (local.get $as)) (local.get $bs)))
      (v128.store offset=16 (local.get $target)
        (f32x4.add (f32x4.mul (v128.load offset=16 (local.get $source)) (local.get $as)) (local.get $bs)))
      (v128.store offset=32 (local.get $target)
        (f32x4.add (f32x4.mul (v128.load offset=32 (local.get $source)) (local.get $as)) (local.get $bs)))
      (v128.store offset=48 (local.get $target)
        (f32x4.add (f32x4.mul (v128.load offset=48 (local.get $source)) (local.get $as)) (local.get $bs)))
      (local.set $target (i32.add (local.get $target) (i32.const 64)))
      (local.set $source (i32.add (local.get $source) (i32.const 64)))
      (br_if $turn (i32.lt_u (local.get $source) (local.get $end)))))

  ;; target[i] = a · source[i] + b · other[i], in f32
  (func (export "combine")
    (param $target i32) (param $source i32) (param $other i32) (param $bytes i32) (param $a f32) (param $b f32)
    (local $end i32)
    (local $as v128)
    (local $bs v128)
    (local.set $end (i32.add (local.get $source) (local.get $bytes)))
    (local.set $as (f32x4.splat (local.get $a)))
    (local.set $bs (f32x4.splat (local.get $b)))
    (loop $turn
      (v128.store (local.get $target)
        (f32x4.add
          (f32x4.mul (v128.load (local.get $source)) (local.get $as))
          (f32x4.mul (v128.load (local.get $other)) (local.get $bs))))
      (v128.store offset=16 (local.get $target)
        (f32x4.add
          (f32x4.mul (v128.load offset=16 (local.get $source)) (local.get $as))
          (f32x4.mul (v128.load offset=16 (local.get $other)) (local.get $bs))))
      (v128.store offset=32 (local.get $target)
        (f32x4.add
          (f32x4.mul (v128.load offset=32 (local.get $source)) (local.get $as))
          (f32x4.mul (v128.load offset=32 (local.get $other)) (local.get $bs))))
      (v128.store offset=48 (local.get $target)
        (f32x4.add
          (f32x4.mul (v128.load offset=48 (local.get $source)) (local.get $as))
          (f32x4.mul (v128.load offset=48 (local.get $other)) (local.get $bs))))
      (local.set $target (i32.add (local.get $target) (i32.const 64)))
      (local.set $source (i32.add (local.get $source) (i32.const 64)))
      (local.set $other (i32.add (local.get $other) (i32.const 64)))
      (br_if $turn (i32.lt_u (local.get $source) (local.get $end))))))
