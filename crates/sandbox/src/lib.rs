//! Commands of strangers, run behind a seal: what they may see, write and spend, and nothing of them left afterwards.
