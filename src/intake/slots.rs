//! Which field a key names: the aliases of every dialect, in one table.

use trade_actors::domain::signal::Side;

use super::value::Value;
use super::words;

/// The meaning of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// What to trade.
    Symbol,
    /// What to do; an unknown word is refused.
    Action,
    /// What to do, in keys that also hold other things.
    Signal,
    /// How.
    OrderType,
    /// How much.
    Quantity,
    /// How much, or the bar's volume.
    Volume,
    /// Units or money: nobody can tell.
    Amount,
    /// The unit of the quantity.
    QuantityType,
    /// The part of the position to close.
    ClosePercent,
    /// A limit price and nothing else.
    LimitPrice,
    /// The price: limit, trigger or reference by the order type.
    Price,
    /// The entry price: the same, by another name.
    EntryPrice,
    /// The price that the sender's strategy filled at.
    OrderPrice,
    /// The close of the bar: a reference only.
    ClosePrice,
    /// The price that wakes a stop.
    StopPrice,
    /// The same, but the price seen in some bots' alerts.
    TriggerPrice,
    /// A trailing distance in money.
    TrailAmount,
    /// A trailing distance in per cent.
    TrailPercent,
    /// A trailing or second stop, which is not carried out.
    OtherStop,
    /// A distance in pips, points or ticks.
    Relative,
    /// The stop; `side` when it only applies to that side.
    Stop {
        /// The side of the order it belongs to.
        side: Option<Side>,
        /// Whether it is a distance in per cent.
        percent: bool,
    },
    /// A target, `rank` counting from 1, 0 when not numbered.
    Target {
        /// Its place.
        rank: u8,
        /// The side of the order it belongs to.
        side: Option<Side>,
        /// Whether it is a distance in per cent.
        percent: bool,
    },
    /// Leverage.
    Leverage,
    /// At which broker or account.
    Via,
    /// The position after the order.
    Sentiment,
    /// The position before the order.
    PrevPosition,
    /// The side of the position the order belongs to, on venues that hold both.
    PositionSide,
    /// Whether the order leaves the position.
    CloseFlag,
    /// Whether the order may only make the position smaller.
    ReduceOnly,
    /// Whether nothing is to be traded.
    DryRun,
    /// A property of an option contract.
    Option,
    /// The kind of what is traded, which may be an option.
    AssetType,
    /// The alert's own identity.
    AlertId,
    /// An identity, often only a name of the strategy's order.
    Id,
    /// When it was sent.
    SentAt,
    /// When it was sent, or when the bar opened.
    Time,
    /// When the bar opened.
    BarTime,
    /// Oldest age to act on, in seconds.
    MaxLag,
    /// A bot's id, whose alerts use `trigger_price` for the price seen.
    BotId,
    /// Open, high or low of a bar: `volume` beside it is the bar's.
    BarPart,
    /// A size wish that the risk settings answer; shown, not used.
    Wish(&'static str),
    /// A text that may hold a further JSON object.
    Message,
    /// An object whose fields count as if they stood outside.
    Group,
    /// The bar's own object.
    Bar,
}

/// One recognised field of a body.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// What it means.
    pub(super) slot: Slot,
    /// Where it stood, as a JSON pointer.
    pub(super) pointer: String,
    /// What it says.
    pub(super) value: Value,
}

/// Returns what a key means, or nothing when the key is not known.
pub(super) fn slot(key: &str) -> Option<Slot> {
    // Names are repeated in receipts and refusals, so one with a control character is nobody's.
    if key.contains(char::is_control) {
        return None;
    }
    let name = words::plain(key);
    let name = match name.strip_prefix("strategy") {
        Some(rest) if ["order", "market", "prev", "position"].iter().any(|start| rest.starts_with(start)) => {
            rest
        }
        Some(_) | None => &name,
    };
    level(name).or_else(|| main(name)).or_else(|| detail(name)).or_else(|| relative(name))
}

fn main(name: &str) -> Option<Slot> {
    Some(match name {
        "symbol" | "ticker" | "tickerid" | "instid" | "instrument" | "instrumentid" | "pair"
        | "tradingpair" | "tradingsymbol" | "tvinstrument" | "productid" | "marketsymbol"
        | "contractsymbol" => Slot::Symbol,
        "action" | "side" | "orderaction" | "orderside" | "tradeaction" | "tradeside" => Slot::Action,
        "alert" | "signal" | "signaltype" | "direction" | "cmd" | "command" | "trade" | "operation" => {
            Slot::Signal
        }
        "type" | "ordertype" | "ordtype" | "pricetype" | "orderkind" | "executiontype" | "entrytype"
        | "order" => Slot::OrderType,
        "quantity" | "qty" | "contracts" | "size" | "ordercontracts" | "orderqty" | "orderquantity"
        | "ordersize" | "shares" | "units" | "lots" | "lot" | "lotsize" => Slot::Quantity,
        "volume" | "vol" => Slot::Volume,
        "amount" => Slot::Amount,
        "quantitytype" | "qtytype" | "sizetype" | "amounttype" => Slot::QuantityType,
        "closepercent" | "closepct" | "closepercentage" | "exitpercent" | "exitpct" | "percent"
        | "percentage" => Slot::ClosePercent,
        "limitprice" | "limit" | "lmtprice" | "stoplimitprice" => Slot::LimitPrice,
        "price" => Slot::Price,
        "entryprice" | "entry" => Slot::EntryPrice,
        "orderprice" => Slot::OrderPrice,
        "close" | "closeprice" | "lastprice" | "currentprice" | "marketprice" | "signalprice" => {
            Slot::ClosePrice
        }
        "stopprice" => Slot::StopPrice,
        "triggerprice" | "trigger" => Slot::TriggerPrice,
        "trailprice" | "trailamount" => Slot::TrailAmount,
        "trailpercent" | "trailpct" => Slot::TrailPercent,
        "leverage" | "lev" => Slot::Leverage,
        "via" => Slot::Via,
        "sentiment" | "marketposition" | "position" => Slot::Sentiment,
        "prevmarketposition" => Slot::PrevPosition,
        "positionside" | "posside" => Slot::PositionSide,
        _ => return None,
    })
}

fn detail(name: &str) -> Option<Slot> {
    Some(match name {
        "closeposition" => Slot::CloseFlag,
        "reduceonly" => Slot::ReduceOnly,
        "test" | "dryrun" | "simulate" => Slot::DryRun,
        "option" | "options" | "legs" | "right" | "strike" | "strikeprice" | "optiontype" | "optionright"
        | "expiration" | "expirationdate" | "expiry" | "expirydate" | "optionsymbol" | "putcall"
        | "callput" => Slot::Option,
        "assetclass" | "assettype" | "sectype" | "securitytype" | "instrumenttype" | "producttype" => {
            Slot::AssetType
        }
        "alertid" => Slot::AlertId,
        "id" => Slot::Id,
        "timenow" | "timestamp" | "ts" | "sentat" | "senttime" | "alerttime" | "firedat" => Slot::SentAt,
        "time" => Slot::Time,
        "bartime" | "bartimestamp" | "candletime" | "opentime" | "baropentime" | "date" | "datetime" => {
            Slot::BarTime
        }
        "maxlag" => Slot::MaxLag,
        "botuuid" | "botid" => Slot::BotId,
        "open" | "high" | "low" => Slot::BarPart,
        "notional" | "usdamount" | "amountusd" | "quoteqty" | "quoteamount" => Slot::Wish("notional"),
        "sizepercent" | "sizepct" | "positionpct" | "positionpercent" | "equitypercent" => {
            Slot::Wish("size_percent")
        }
        "riskpercent" | "riskpct" => Slot::Wish("risk_percent"),
        "risk" => Slot::Wish("risk"),
        "orderalertmessage" | "alertmessage" => Slot::Message,
        "strategy" | "data" | "payload" | "params" => Slot::Group,
        "bar" | "candle" => Slot::Bar,
        _ => return None,
    })
}

/// Reads the names of stops and targets: `sl`, `stop_loss_price`, `tp`, `tp2`, `take_profit_price_1`, `long
/// SL`.
fn level(name: &str) -> Option<Slot> {
    let (side, name) = match (name.strip_prefix("long"), name.strip_prefix("short")) {
        (Some(rest), _) if !rest.is_empty() => (Some(Side::Buy), rest),
        (_, Some(rest)) if !rest.is_empty() => (Some(Side::Sell), rest),
        (_, _) => (None, name),
    };
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let number = name.strip_prefix(stem).unwrap_or_default();
    let (stem, percent) = unit(stem);
    let inner = stem.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let rank = if number.is_empty() { stem.strip_prefix(inner).unwrap_or_default() } else { number };
    match inner {
        // `stop_price` is the trigger of a stop order; only `sl_price` and `stop_loss_price` are levels.
        "stop" if name == "stopprice" => None,
        "sl" | "stoploss" | "stop" if rank.is_empty() || rank == "1" => Some(Slot::Stop { side, percent }),
        "sl" | "stoploss" | "stop" => Some(Slot::OtherStop),
        "tp" | "takeprofit" | "takeprofits" | "target" | "targets" => {
            let rank = if rank.is_empty() { 0 } else { rank.parse().ok().filter(|rank| *rank > 0)? };
            Some(Slot::Target { rank, side, percent })
        }
        _ => None,
    }
}

fn unit(stem: &str) -> (&str, bool) {
    for ending in ["percentage", "percent", "pct"] {
        if let Some(rest) = stem.strip_suffix(ending) {
            return (rest, true);
        }
    }
    (stem.strip_suffix("price").unwrap_or(stem), false)
}

/// Finds distances that cannot be carried out, so that no protection is dropped in silence.
fn relative(name: &str) -> Option<Slot> {
    if name.starts_with("trail") {
        return Some(Slot::OtherStop);
    }
    let level = ["sl", "tp", "stop", "takeprofit", "target"].iter().any(|start| name.starts_with(start));
    let distance =
        ["pips", "points", "ticks", "offset", "distance", "amount"].iter().any(|end| name.ends_with(end));
    (level && distance).then_some(Slot::Relative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_names_the_same_fields() {
        let target = |rank, percent| Some(Slot::Target { rank, side: None, percent });
        let stop = |side, percent| Some(Slot::Stop { side, percent });
        for (key, meant) in [
            ("instId", Some(Slot::Symbol)),
            ("strategy.order.action", Some(Slot::Action)),
            ("ORDER_TYPE", Some(Slot::OrderType)),
            ("stopPrice", Some(Slot::StopPrice)),
            ("stop_loss_price", stop(None, false)),
            ("stop_loss_percent", stop(None, true)),
            ("long SL", stop(Some(Side::Buy), false)),
            ("tp3", target(3, false)),
            ("take_profit_price_2", target(2, false)),
            ("TAKE_PROFIT_2_PRICE", target(2, false)),
            ("takeProfits", target(0, false)),
            ("tp_pct", target(0, true)),
            ("sl_pips", Some(Slot::Relative)),
            ("trailTrigger", Some(Slot::OtherStop)),
            ("sl2", Some(Slot::OtherStop)),
        ] {
            assert_eq!(slot(key), meant, "{key}");
        }
    }

    #[test]
    fn notes_names_and_secrets_mean_nothing() {
        for key in [
            "tick\ner",
            "note",
            "comment",
            "message",
            "strategy_id",
            "strategy_name",
            "order_id",
            "secret",
            "tp0",
            "tp1 Mult",
            "tp_count",
            "position_size",
        ] {
            assert_eq!(slot(key), None, "{key}");
        }
    }
}
