//! Every format, instruction set and variant against the plain reference, and the same bits from all of them.

use ops::{
    glu::Activation,
    matmul::{self as reference, Shape},
    pointwise::Function,
};

use super::cpu::{Input, Product, gathered_len, matmul};
use crate::{
    Isa, PackedMatrix, Pool, StoredMatrix,
    fixture::{Matrix, QuantMatrix, assert_same_bits},
    glu::cpu::{Glu, glu},
    memory::{Aligned, Arena, Pages},
    profile::{FloatProducts, MatMulVariant, RuntimeProfile},
    quantize,
    rows::{QuantRows, Rows},
};

/// Outputs `(tokens, outputs)` with the given choices.
fn run(
    profile: &RuntimeProfile,
    pool: &Pool,
    shape: &Shape,
    weights: &PackedMatrix,
    x: &[f32],
) -> Vec<f32> {
    let Shape {
        tokens,
        inputs,
        outputs,
        ..
    } = *shape;
    let mut plain = Aligned::<f32>::zeroed(x.len()).expect("memory");
    plain.as_mut_slice().copy_from_slice(x);
    let quantised = Aligned::<u8>::zeroed(tokens * QuantRows::row_bytes(inputs)).expect("memory");
    let stride = outputs.next_multiple_of(16);
    let out = Aligned::<f32>::zeroed(tokens * stride).expect("memory");
    pool.run(|team| {
        let scratch = Aligned::zeroed(gathered_len(inputs)).expect("memory");
        let input = Input {
            plain: Rows {
                pointer: plain.as_mut_pointer(),
                stride: inputs,
            },
            quantised: QuantRows {
                pointer: quantised.as_mut_pointer(),
                cols: inputs,
            },
            tokens,
            slots: None,
            scratch: scratch.as_mut_pointer(),
        };
        let rows = Rows {
            pointer: out.as_mut_pointer(),
            stride,
        };
        // SAFETY: the buffers above have the shapes named; threads write disjoint panels.
        unsafe {
            if weights.is_integer() {
                quantize::cpu::quantize(profile.isa, input.plain, input.quantised, tokens, team);
                team.barrier();
            }
            matmul(
                profile,
                &[Product {
                    weights,
                    out: rows,
                    bias: None,
                    scale: 1.0,
                    add: false,
                    first_panel: 0,
                    function: None,
                    gate: None,
                    quantised: None,
                }],
                input,
                0,
                team,
            );
        }
    });
    out.as_slice()
        .chunks_exact(stride)
        .flat_map(|row| row[..outputs].iter().copied())
        .collect()
}

fn profiles() -> Vec<RuntimeProfile> {
    let mut all = Vec::new();
    for isa in Isa::available() {
        for (matmul_tile, matmul_variant, matvec_streams, prefetch_bytes) in [
            (4, MatMulVariant::Lanes, 1, 0),
            (8, MatMulVariant::Lanes, 2, 4096),
            (12, MatMulVariant::Lanes, 4, 512),
            (12, MatMulVariant::Amx, 4, 0),
        ] {
            all.push(RuntimeProfile {
                isa,
                matmul_tile,
                matmul_variant,
                matvec_streams,
                prefetch_bytes,
                ..RuntimeProfile::default()
            });
        }
    }
    all
}

#[test]
fn all_formats_are_right_and_all_variants_give_the_same_bits() {
    let pools = [
        Pool::new(1, 100, 100).expect("threads"),
        Pool::new(3, 100, 100).expect("threads"),
    ];
    for case in reference::cases() {
        let shape = case.shape;
        let bytes = ops::input::weights(11, shape.dtype, shape.inputs * shape.outputs);
        let x = ops::input::normal(5, shape.tokens * shape.inputs);
        let stored = StoredMatrix {
            dtype: shape.dtype,
            rows: shape.outputs,
            cols: shape.inputs,
            bytes: &bytes,
        };
        let packed = PackedMatrix::pack(
            stored,
            shape.outputs,
            &|r| r,
            2,
            &mut Arena::new(Pages::Huge),
            &mut |_| {},
        )
        .expect("valid weights");
        let want = if packed.is_integer() {
            reference::reference_int8(&shape, &bytes, &x)
        } else {
            reference::reference(&shape, &bytes, &x)
        }
        .expect("valid weights");
        let mut first: Option<Vec<f32>> = None;
        for profile in profiles() {
            for pool in &pools {
                let got = run(&profile, pool, &shape, &packed, &x);
                let error = ops::relative_error(&got, &want);
                assert!(
                    error <= reference::TOLERANCE,
                    "{} {shape:?} {profile:?}: {error:e}",
                    case.name
                );
                let first = first.get_or_insert_with(|| got.clone());
                let same = first
                    .iter()
                    .zip(&got)
                    .all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{} {shape:?} {profile:?}: other bits", case.name);
            }
        }
    }
}

/// In every format; of BF16 also where its inputs are split.
#[test]
fn a_token_has_the_same_bits_in_any_company() {
    let pool = Pool::new(2, 100, 100).expect("threads");
    for (dtype, float_products) in ops::Dtype::ALL
        .map(|dtype| (dtype, FloatProducts::F32))
        .into_iter()
        .chain([(ops::Dtype::Bf16, FloatProducts::SplitBf16)])
    {
        let profile = RuntimeProfile {
            float_products,
            ..RuntimeProfile::default()
        };
        let shape = Shape {
            tokens: 45,
            inputs: 512,
            outputs: 40,
            dtype,
        };
        let bytes = ops::input::weights(3, dtype, shape.inputs * shape.outputs);
        let x = ops::input::normal(9, shape.tokens * shape.inputs);
        let stored = StoredMatrix {
            dtype,
            rows: shape.outputs,
            cols: shape.inputs,
            bytes: &bytes,
        };
        let packed = PackedMatrix::pack(
            stored,
            shape.outputs,
            &|r| r,
            1,
            &mut Arena::new(Pages::Small),
            &mut |_| {},
        )
        .expect("valid weights");
        let together = run(&profile, &pool, &shape, &packed, &x);
        let some = |first: usize, tokens: usize| {
            let some = Shape { tokens, ..shape };
            let got = run(
                &profile,
                &pool,
                &some,
                &packed,
                &x[first * shape.inputs..][..tokens * shape.inputs],
            );
            assert_eq!(
                got,
                together[first * shape.outputs..][..tokens * shape.outputs],
                "{dtype} {float_products:?} tokens {first}..{}",
                first + tokens
            );
        };
        for token in [0, 17, 33, 44] {
            some(token, 1);
        }
        for tokens in [2, 3, 4, 6, 7, 8, 12, 13, 16, 17, 33] {
            some(45 - tokens, tokens);
        }
    }
}

/// Where there are tiles of bfloat16; elsewhere it is the plain products' test again. More tokens than are rounded at a time, and odd
/// columns, which go the plain way.
#[test]
fn split_inputs_are_near_the_reference() {
    let pool = Pool::new(3, 100, 100).expect("threads");
    let profile = RuntimeProfile {
        float_products: FloatProducts::SplitBf16,
        ..RuntimeProfile::default()
    };
    let more = Shape {
        tokens: 300,
        inputs: 1536,
        outputs: 72,
        dtype: ops::Dtype::Bf16,
    };
    let cases = reference::cases().into_iter().map(|case| case.shape);
    let bf16 = cases.filter(|shape| shape.dtype == ops::Dtype::Bf16);
    for shape in bf16.chain([more]) {
        let bytes = ops::input::weights(11, shape.dtype, shape.inputs * shape.outputs);
        let x = ops::input::normal(5, shape.tokens * shape.inputs);
        let stored = StoredMatrix {
            dtype: shape.dtype,
            rows: shape.outputs,
            cols: shape.inputs,
            bytes: &bytes,
        };
        let mut arena = Arena::new(Pages::Small);
        let packed = PackedMatrix::pack(stored, shape.outputs, &|r| r, 2, &mut arena, &mut |_| {})
            .expect("valid weights");
        let got = run(&profile, &pool, &shape, &packed, &x);
        let want = reference::reference(&shape, &bytes, &x).expect("valid weights");
        let error = ops::relative_error(&got, &want);
        assert!(error <= reference::TOLERANCE, "{shape:?}: {error:e}");
    }
}

/// Two products of one input, the first through a function and rounded: its outputs are the plain product's, then the function's,
/// then the rounding's, whatever the threads; 6 panels for 1, 3 and 4 threads, a block of 32 always one thread's.
#[test]
fn a_function_and_the_rounding_come_behind_the_product() {
    let shape = Shape {
        tokens: 3,
        inputs: 64,
        outputs: 96,
        dtype: ops::Dtype::F16,
    };
    let x = ops::input::normal(5, shape.tokens * shape.inputs);
    let packed = |seed, rows| {
        let bytes = ops::input::weights(seed, shape.dtype, shape.inputs * rows);
        let stored = StoredMatrix {
            dtype: shape.dtype,
            rows,
            cols: shape.inputs,
            bytes: &bytes,
        };
        let mut arena = Arena::new(Pages::Small);
        PackedMatrix::pack(stored, rows, &|r| r, 1, &mut arena, &mut |_| {}).expect("valid weights")
    };
    let (first, second) = (packed(1, 96), packed(2, 40));
    let input = Matrix::of(&x, shape.inputs);
    let bias = ops::input::normal(3, 96);
    for threads in [1, 3, 4] {
        let pool = Pool::new(threads, 100, 100).expect("threads");
        for isa in Isa::available() {
            let profile = RuntimeProfile {
                isa,
                ..RuntimeProfile::default()
            };
            let outs = [96, 40].map(|width| Matrix::empty(shape.tokens, width));
            let plain = [96, 40].map(|width| Matrix::empty(shape.tokens, width));
            let rounded = QuantMatrix::empty(shape.tokens, 96);
            let compute = |outs: &[Matrix; 2], function, quantised| {
                pool.run(|team| {
                    let product = |weights, out: &Matrix| Product {
                        weights,
                        out: out.rows(),
                        bias: None,
                        scale: 1.0,
                        add: false,
                        first_panel: 0,
                        function: None,
                        gate: None,
                        quantised: None,
                    };
                    let products = [
                        Product {
                            bias: Some(&bias),
                            function,
                            quantised,
                            ..product(&first, &outs[0])
                        },
                        product(&second, &outs[1]),
                    ];
                    let scratch = Aligned::zeroed(gathered_len(shape.inputs)).expect("memory");
                    let input = Input {
                        plain: input.rows(),
                        quantised: rounded.rows(),
                        tokens: shape.tokens,
                        slots: None,
                        scratch: scratch.as_mut_pointer(),
                    };
                    // SAFETY: rows and columns are the matrices'; floats read no 8-bit form.
                    unsafe { matmul(&profile, &products, input, 0, team) }
                });
            };
            compute(&plain, None, None);
            compute(&outs, Some(Function::SquaredRelu), Some(rounded.rows()));
            let what = format!("{} with {threads} threads", isa.name());
            let want: Vec<f32> = plain[0]
                .values()
                .iter()
                .map(|&x| if x < 0.0 { 0.0 } else { x * x })
                .collect();
            assert_same_bits(&outs[0].values(), &want, &what);
            rounded.assert_rounds(&want);
            assert_same_bits(&outs[1].values(), &plain[1].values(), &what);
        }
    }
}

/// Gate and up as one call: the same columns of both are one thread's, and the result is the plain products', then the activation's.
#[test]
fn a_gate_of_the_same_call_multiplies_the_product() {
    let (tokens, inputs, outputs) = (3, 64, 160);
    let x = ops::input::normal(5, tokens * inputs);
    let input = Matrix::of(&x, inputs);
    let weights = [1, 2].map(|seed| {
        let bytes = ops::input::weights(seed, ops::Dtype::F16, inputs * outputs);
        let stored = StoredMatrix {
            dtype: ops::Dtype::F16,
            rows: outputs,
            cols: inputs,
            bytes: &bytes,
        };
        let mut arena = Arena::new(Pages::Small);
        PackedMatrix::pack(stored, outputs, &|r| r, 1, &mut arena, &mut |_| {}).expect("weights")
    });
    for threads in [1, 3, 4] {
        let pool = Pool::new(threads, 100, 100).expect("threads");
        for isa in Isa::available() {
            let profile = RuntimeProfile {
                isa,
                ..RuntimeProfile::default()
            };
            for activation in [Activation::Silu, Activation::GeluTanh] {
                let outs = [(); 4].map(|()| Matrix::empty(tokens, outputs));
                let rounded = QuantMatrix::empty(tokens, outputs);
                let [gate, up, apart, together] = &outs;
                pool.run(|team| {
                    let product = |i: usize, out: &Matrix| Product {
                        weights: &weights[i],
                        out: out.rows(),
                        bias: None,
                        scale: 1.0,
                        add: false,
                        first_panel: 0,
                        function: None,
                        gate: None,
                        quantised: None,
                    };
                    let gated = Product {
                        gate: Some((gate.rows(), activation)),
                        quantised: Some(rounded.rows()),
                        ..product(1, together)
                    };
                    let scratch = Aligned::zeroed(gathered_len(inputs)).expect("memory");
                    let input = Input {
                        plain: input.rows(),
                        quantised: rounded.rows(),
                        tokens,
                        slots: None,
                        scratch: scratch.as_mut_pointer(),
                    };
                    // SAFETY: rows and columns are the matrices'; floats read no 8-bit form; a barrier lies between who writes and
                    // who reads, but for the gate, which its reader writes.
                    unsafe {
                        matmul(&profile, &[product(1, up)], input, 0, team);
                        matmul(&profile, &[product(0, gate), gated], input, 1, team);
                        team.barrier();
                        let plain = Glu {
                            gate: gate.rows(),
                            up: up.rows(),
                            out: apart.rows(),
                            activation,
                            width: outputs,
                            quantised: None,
                        };
                        glu(isa, plain, tokens, team);
                    }
                });
                let what = format!("{} with {threads} threads", isa.name());
                assert_same_bits(&together.values(), &apart.values(), &what);
                rounded.assert_rounds(&apart.values());
            }
        }
    }
}
