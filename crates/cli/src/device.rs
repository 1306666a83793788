//! Where a model runs: on the processor, or on a GPU.

use std::{str::FromStr, sync::Arc};

use cuda::{CudaError, Device};
use store::Store;

/// `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU where there is one and it can run the model, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// This NVIDIA GPU.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |n: &str| n.parse().ok().filter(|&n: &usize| n < 1024);
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", n)) if number(n).is_some() => Ok(Self::Cuda(number(n).unwrap_or(0))),
            _ => Err("expected auto, cpu, cuda or cuda:N with the number of a GPU".to_owned()),
        }
    }
}

impl DeviceChoice {
    /// The GPU that this means; `None` for the processor, and where there is no GPU that anybody asked for.
    ///
    /// # Errors
    /// There is none where one was asked for.
    pub fn open(self) -> Result<Option<Arc<Device>>, CudaError> {
        let ordinal = match self {
            Self::Cpu => return Ok(None),
            Self::Auto => 0,
            Self::Cuda(ordinal) => ordinal,
        };
        // A user without a folder for it compiles at each start.
        let cache = Store::open().ok().map(|store| store.kernel_folder());
        match Device::open(ordinal, cache) {
            Ok(device) => Ok(Some(Arc::new(device))),
            Err(CudaError::NoDriver | CudaError::NoDevice { .. } | CudaError::OldDevice { .. })
                if self == Self::Auto =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceChoice;

    #[test]
    fn devices_are_named_as_users_know_them() {
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        for wrong in [
            "",
            "gpu",
            "cuda:",
            "cuda:-1",
            "cuda:9999999",
            "cpu:0",
            "CUDA",
        ] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }
}
