//! Pulls from servers on the loopback interface: good ones, broken ones and hostile ones.

#[cfg(test)]
mod download;
#[cfg(test)]
mod package;
#[cfg(test)]
mod placing;
#[cfg(test)]
mod server;
