//! What a pull tells its caller while it works. The store draws nothing: the command line owns the bar.

/// Receives the events of a pull, in order, on the calling thread.
///
/// A pull goes through one or several transfers (a model split over packages has one for each). A transfer begins with
/// [`started`](Progress::started), may begin again (a server that cannot resume), and is followed by stages.
pub trait Progress {
    /// A transfer begins: of `total_bytes` in all (`None` when the server does not say), `resumed_from` of them already here.
    fn started(&mut self, total_bytes: Option<u64>, resumed_from: u64);

    /// That many bytes more have arrived.
    fn advanced(&mut self, bytes: u64);

    /// Something other than the transfer goes on now, in a few words fit for a line under the bar.
    fn stage(&mut self, name: &str);

    /// Asked between blocks: `true` ends the pull with [`PullError::Cancelled`](crate::PullError::Cancelled), the `.part`
    /// file kept.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn started(&mut self, _total_bytes: Option<u64>, _resumed_from: u64) {}
    fn advanced(&mut self, _bytes: u64) {}
    fn stage(&mut self, _name: &str) {}
}
