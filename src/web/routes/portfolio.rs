//! Money and positions at the latest prices.

use crate::web::call::{Answer, Call, ok};
use crate::web::problem::Problem;
use crate::web::wire::{Portfolio, PortfolioUpdate, Position};

/// Shows the portfolio with its positions.
pub(crate) async fn show(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    let engine = call.engine()?;
    let portfolio = Portfolio::now(&account, engine, engine.clock().now());
    ok(&PortfolioUpdate { portfolio, positions: Position::all(&account, engine) })
}
