//! Samples of every dialect, the laws of reading, and the shared corpus when it is at hand.

mod corpus;
mod laws;
mod samples;
