//! The `trade-executor` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    trade_executor::cli::main()
}
