//! Where a command's toolchain lives when it is not the system's: offered to a track's author as read-only mounts.
