//! Each kind of cause has its exit code.

use super::*;

#[test]
fn causes_have_their_codes() {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let read = |source| Failure::Read {
        path: "f".into(),
        source,
    };
    for (failure, exit) in [
        (Failure::Usage("x".into()), Exit::Usage),
        (Failure::Interrupted, Exit::Interrupted),
        (read(missing()), Exit::NotFound),
        (
            read(io::Error::from(io::ErrorKind::PermissionDenied)),
            Exit::BadFile,
        ),
        (RuntimeError::EmptyPrompt.into(), Exit::Usage),
        (
            RuntimeError::Context {
                asked: 2,
                trained: 1,
            }
            .into(),
            Exit::DoesNotFit,
        ),
        (
            RuntimeError::NotFinite { position: 3 }.into(),
            Exit::BadFile,
        ),
        (PullError::Cancelled.into(), Exit::Interrupted),
        (
            PullError::DiskFull {
                folder: "x".into(),
                needs: "y".into(),
            }
            .into(),
            Exit::DoesNotFit,
        ),
        (ResolveError::NoFile("x".into()).into(), Exit::NotFound),
        (
            Failure::Output(io::Error::from(io::ErrorKind::BrokenPipe)),
            Exit::Done,
        ),
        (
            Failure::Output(io::Error::from(io::ErrorKind::StorageFull)),
            Exit::DoesNotFit,
        ),
    ] {
        assert_eq!(failure.exit(), exit, "{failure}");
    }
}
