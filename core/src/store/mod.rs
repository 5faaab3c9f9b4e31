//! Where processes share what they know: opaque, sealed records by name. Knows neither tokens nor how they are got.

pub(crate) mod file;
pub(crate) mod seal;
