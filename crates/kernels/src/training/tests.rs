//! What the tests of training kernels share: machines of every kind, and gradients compared with the references of `ops`.

mod gemm;
