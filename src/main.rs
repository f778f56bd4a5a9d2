//! The `trade-executor` command.

use std::process::ExitCode;

/// Much is allocated on the way of a signal, by many threads; and a user put to sleep gives the memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    trade_actors::fault::from_environment();
    trade_executor::cli::main()
}
