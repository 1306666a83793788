//! The launches of a prompt's kernels.

use cudarc::driver::{CudaFunction, DeviceRepr, LaunchConfig, PushKernelArg};

use super::{
    Kernels, THREADS, config, maps, number,
    op::{self, Attend, Delta, Matmul, TensorMap},
};
use crate::{
    CudaError, Device,
    error::at,
    plan::{DELTA, DeltaStep, TILE},
};

/// Queries of a block.
pub(super) const QUERIES: usize = 128;
/// Threads of `matmul` and `attend_many`.
const FETCHING_THREADS: u32 = 384;

/// Launches for some tokens.
pub(super) struct Run<'a> {
    pub device: &'a Device,
    pub kernels: &'a Kernels,
    pub count: u32,
}

impl Run<'_> {
    pub(super) fn one<T: DeviceRepr>(
        &self,
        kernel: &CudaFunction,
        blocks: u32,
        threads: u32,
        shared: usize,
        argument: &T,
    ) -> Result<(), CudaError> {
        let mut launch = self.device.stream.launch_builder(kernel);
        launch.arg(argument);
        // SAFETY: each kernel here takes one structure, the one it is called with, by value; what it names is memory of the prompt, the
        // weights and the sequence, which outlive the launch.
        unsafe { launch.launch(config(blocks, threads, shared)) }
            .map(drop)
            .map_err(at("launching a part of a prompt"))
    }

    pub(super) fn matmul(
        &self,
        weights: &TensorMap,
        input: &TensorMap,
        matmul: &Matmul,
    ) -> Result<(), CudaError> {
        let mut launch = self.device.stream.launch_builder(&self.kernels.matmul);
        launch.arg(weights).arg(input).arg(matmul);
        let blocks = self.device.properties().multiprocessors / 2 * 2;
        // SAFETY: as in `one`; these are the parameters of `matmul`.
        unsafe { launch.launch(config(blocks, FETCHING_THREADS, op::MATMUL_SHARED)) }
            .map(drop)
            .map_err(at("launching a product"))
    }

    pub(super) fn delta(&self, step: &DeltaStep, delta: &Delta) -> Result<(), CudaError> {
        let chunks = self.count.div_ceil(number(op::CHUNK));
        let heads = delta.value_heads;
        let mut launch = self
            .device
            .stream
            .launch_builder(&self.kernels.delta_chunks);
        launch.arg(delta);
        let grid = LaunchConfig {
            grid_dim: (heads, chunks, 1),
            ..config(1, THREADS, op::CHUNKS_SHARED)
        };
        // SAFETY: as in `one`.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(at("launching the delta rule"))?;
        // As many columns to a block as leave none waiting for another.
        let slices = if heads * 4 <= self.device.properties().multiprocessors {
            4
        } else {
            2
        };
        let columns = number(DELTA) / slices;
        self.one(
            &self.kernels.delta_scan,
            heads * slices,
            4 * columns,
            op::scan_shared(columns as usize),
            delta,
        )?;
        let channels = (2 * step.key_heads + step.value_heads) * DELTA;
        let blocks =
            (self.count * heads).div_ceil(THREADS / 32) + number(channels).div_ceil(THREADS);
        self.one(&self.kernels.delta_out, blocks, THREADS, 0, delta)
    }

    pub(super) fn attend(&self, attend: &Attend, queries: &TensorMap) -> Result<(), CudaError> {
        let tile = number(TILE);
        let tiles = (attend.position + self.count - 1) / tile - attend.position / tile + 1;
        let mut launch = self
            .device
            .stream
            .launch_builder(&self.kernels.attend_heads);
        launch.arg(attend);
        let grid = LaunchConfig {
            grid_dim: (tiles, attend.heads + attend.kv_heads, 1),
            ..config(1, THREADS, 0)
        };
        // SAFETY: as in `one`.
        unsafe { launch.launch(grid) }
            .map(drop)
            .map_err(at("launching attention"))?;
        let all = (attend.kv_heads * attend.capacity / tile) as usize;
        let keys = maps::cache(attend.cache, all, 2)?;
        let values = maps::cache(attend.cache, all, 1)?;
        let mut launch = self.device.stream.launch_builder(&self.kernels.attend_many);
        launch.arg(queries).arg(&keys).arg(&values).arg(attend);
        let blocks = self.count.div_ceil(number(QUERIES)) * attend.heads;
        // SAFETY: as in `one`; these are the parameters of `attend_many`.
        unsafe { launch.launch(config(blocks, FETCHING_THREADS, op::ATTEND_SHARED)) }
            .map(drop)
            .map_err(at("launching attention"))
    }
}
