"""Drives a simulated Alpaca with the vendor's own client, and checks every value that comes back.

usage: alpaca_py.py READY_FILE
"""

import threading
import time
from datetime import date, timedelta

from alpaca.common.exceptions import APIError
from alpaca.data.enums import DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import StockLatestQuoteRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, OrderType, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)
from alpaca.trading.stream import TradingStream

from venue import Admin, all_well, ready, same, until

KEY, SECRET = "PKTEST", "very-secret"
BUY, SELL = OrderSide.BUY, OrderSide.SELL
DAY, GTC = TimeInForce.DAY, TimeInForce.GTC


def refused(call, status, code, words):
    """Checks that a call is refused with this status and code, in words like these."""
    try:
        call()
    except APIError as error:
        same((error.status_code, error.code), (status, code))
        if words not in error.message:
            raise AssertionError(f"{error.message!r} does not say {words!r}") from error
    else:
        raise AssertionError(f"{words!r} was not refused")


class Listener:
    """A stream of the vendor's client, running in a thread of its own."""

    def __init__(self, stream):
        self.stream = stream
        self.heard = []
        self.thread = threading.Thread(target=stream.run, daemon=True)

    async def hear(self, message):
        self.heard.append(message)

    def stop(self, wake):
        """Stops it; the client looks for that only when it hears something, or after five seconds."""
        self.stream.stop()
        wake()
        self.thread.join(20)
        same(self.thread.is_alive(), False)


def look_around(client):
    account = client.get_account()
    same((account.status.value, account.currency), ("ACTIVE", "USD"))
    same((account.cash, account.equity, account.buying_power), ("100000", "100000", "200000"))
    same((account.multiplier, account.trading_blocked, account.account_blocked), ("2", False, False))

    clock = client.get_clock()
    same(clock.is_open, True)
    same(clock.next_close > clock.timestamp, True)
    same(clock.timestamp.utcoffset() in (timedelta(hours=-4), timedelta(hours=-5)), True)

    days = client.get_calendar(GetCalendarRequest(start=date(2024, 7, 1), end=date(2024, 7, 5)))
    same([(day.date.day, day.close.hour) for day in days], [(1, 16), (2, 16), (3, 13), (5, 16)])

    same(client.get_asset("AAPL").tradable, True)
    assets = client.get_all_assets(GetAssetsRequest())
    same([asset.symbol for asset in assets], ["AAPL", "BRK.B", "MSFT"])
    refused(lambda: client.get_asset("NONE"), 404, 40410000, "asset not found")


def trade_every_type(client, admin):
    order = client.submit_order(
        MarketOrderRequest(symbol="AAPL", qty=40, side=BUY, time_in_force=DAY, client_order_id="py-market")
    )
    same((order.client_order_id, order.type, order.qty), ("py-market", OrderType.MARKET, "40"))
    order = client.get_order_by_client_id("py-market")
    same((order.status, order.filled_qty, order.filled_avg_price), (OrderStatus.FILLED, "40", "190.52"))

    limit = client.submit_order(
        LimitOrderRequest(symbol="AAPL", qty=5, side=BUY, time_in_force=DAY, limit_price=190.07)
    )
    same((limit.limit_price, client.get_order_by_id(limit.id).status), ("190.07", OrderStatus.NEW))
    stop = client.submit_order(
        StopOrderRequest(symbol="AAPL", qty=10, side=SELL, time_in_force=GTC, stop_price=180)
    )
    stop_limit = client.submit_order(
        StopLimitOrderRequest(
            symbol="AAPL", qty=10, side=SELL, time_in_force=DAY, stop_price=181, limit_price=179.5
        )
    )
    trailing = client.submit_order(
        TrailingStopOrderRequest(symbol="AAPL", qty=10, side=SELL, time_in_force=DAY, trail_percent=2)
    )
    same((stop.stop_price, stop_limit.limit_price, trailing.trail_percent), ("180", "179.5", "2"))

    admin.price("AAPL", 200, 200.02, 200)
    same(client.get_order_by_id(trailing.id).hwm, "200")
    admin.price("AAPL", 195.9, 195.92, 196)
    filled = client.get_order_by_id(trailing.id)
    same((filled.status, filled.filled_avg_price), (OrderStatus.FILLED, "195.9"))
    admin.price("AAPL", 180.98, 181, 181)
    same(client.get_order_by_id(limit.id).filled_avg_price, "181")
    same(client.get_order_by_id(stop_limit.id).filled_avg_price, "180.98")
    same(client.get_order_by_id(stop.id).status, OrderStatus.NEW)
    admin.price("AAPL", 179.98, 180, 180)
    same(client.get_order_by_id(stop.id).filled_avg_price, "179.98")
    same(client.get_open_position("AAPL").qty, "15")


def trade_a_bracket(client, admin):
    admin.price("MSFT", 400, 400.1, 400)
    request = {
        "symbol": "MSFT",
        "qty": 3,
        "side": BUY,
        "time_in_force": GTC,
        "order_class": OrderClass.BRACKET,
        "take_profit": TakeProfitRequest(limit_price=420),
        "stop_loss": StopLossRequest(stop_price=390),
    }
    entry = client.submit_order(LimitOrderRequest(limit_price=399, **request))
    same((entry.order_class, len(entry.legs)), (OrderClass.BRACKET, 2))
    same([leg.status for leg in entry.legs], [OrderStatus.HELD, OrderStatus.HELD])
    admin.price("MSFT", 398.9, 399, 399)
    entry = client.get_order_by_id(entry.id, GetOrderByIdRequest(nested=True))
    same((entry.status, [leg.status for leg in entry.legs]), (OrderStatus.FILLED, [OrderStatus.NEW] * 2))
    refused(lambda: client.close_position("MSFT"), 403, 40310000, "insufficient qty available")
    admin.price("MSFT", 420, 420.1, 420)
    entry = client.get_order_by_id(entry.id, GetOrderByIdRequest(nested=True))
    same([leg.status for leg in entry.legs], [OrderStatus.FILLED, OrderStatus.CANCELED])
    same(entry.legs[0].filled_avg_price, "420")


def cancel_and_replace(client):
    order = client.submit_order(
        LimitOrderRequest(symbol="BRK.B", qty=2, side=BUY, time_in_force=DAY, limit_price=400)
    )
    new = client.replace_order_by_id(order.id, ReplaceOrderRequest(qty=3, limit_price=401.5))
    same((new.qty, new.limit_price, new.replaces), ("3", "401.5", order.id))
    old = client.get_order_by_id(order.id)
    same((old.status, old.replaced_by), (OrderStatus.REPLACED, new.id))
    open_orders = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN))
    same([found.id for found in open_orders], [new.id])
    client.cancel_order_by_id(new.id)
    same(client.get_order_by_id(new.id).status, OrderStatus.CANCELED)
    refused(lambda: client.cancel_order_by_id(new.id), 422, 42210000, 'already in "canceled" state')

    for price in (300, 301):
        client.submit_order(
            LimitOrderRequest(symbol="BRK.B", qty=1, side=BUY, time_in_force=DAY, limit_price=price)
        )
    same([answer.status for answer in client.cancel_orders()], [200, 200])
    same(client.get_orders(), [])


def be_refused(client, url):
    again = MarketOrderRequest(symbol="AAPL", qty=1, side=BUY, time_in_force=DAY, client_order_id="py-market")
    refused(lambda: client.submit_order(again), 422, 40010001, "client_order_id must be unique")
    penny = LimitOrderRequest(symbol="AAPL", qty=1, side=BUY, time_in_force=DAY, limit_price=190.001)
    refused(lambda: client.submit_order(penny), 422, 42210000, "sub-penny increment")
    much = MarketOrderRequest(symbol="AAPL", qty=100000, side=BUY, time_in_force=DAY)
    refused(lambda: client.submit_order(much), 403, 40310000, "insufficient buying power")
    stranger = TradingClient(KEY, "wrong", paper=True, url_override=url)
    refused(stranger.get_account, 401, 40110000, "request is not authorized")


def close_positions(client):
    position = client.get_open_position("AAPL")
    same((position.qty, position.qty_available, position.side.value), ("15", "15", "long"))
    half = client.close_position("AAPL", ClosePositionRequest(qty="5"))
    same((half.side, half.qty), (SELL, "5"))
    same([(held.symbol, held.qty) for held in client.get_all_positions()], [("AAPL", "10")])
    closed = client.close_all_positions(cancel_orders=True)
    same([(answer.symbol, answer.status) for answer in closed], [("AAPL", 200)])
    same(client.get_all_positions(), [])
    refused(lambda: client.get_open_position("AAPL"), 404, 40410000, "position does not exist")


def listen_to_trades(client, admin, urls):
    listener = Listener(TradingStream(KEY, SECRET, paper=True, url_override=urls["stream_url"]))
    listener.stream.subscribe_trade_updates(listener.hear)
    listener.thread.start()
    until("the stream listens", lambda: listening(admin, "orders"))
    client.submit_order(
        MarketOrderRequest(symbol="AAPL", qty=2, side=BUY, time_in_force=DAY, client_order_id="py-stream")
    )
    until("new and fill", lambda: len(listener.heard) >= 2)
    new, fill = listener.heard
    same((new.event, new.order.client_order_id), ("new", "py-stream"))
    same((fill.event, fill.price, fill.qty, fill.position_qty), ("fill", 180.0, 2.0, 2.0))
    same((fill.order.status, fill.order.filled_qty), (OrderStatus.FILLED, "2"))
    same(fill.execution_id != new.execution_id, True)
    last = LimitOrderRequest(symbol="AAPL", qty=1, side=BUY, time_in_force=DAY, limit_price=1)
    listener.stop(lambda: client.submit_order(last))


def listening(admin, channel):
    return admin.get(f"/streams?account={KEY}")[channel] == 1


def look_at_prices(admin, urls):
    admin.price("MSFT", "410.07", "410.11", "410.1")
    history = StockHistoricalDataClient(KEY, SECRET, url_override=urls["url"])
    request = StockLatestQuoteRequest(symbol_or_symbols=["AAPL", "MSFT"], feed=DataFeed.IEX)
    quotes = history.get_stock_latest_quote(request)
    same((quotes["MSFT"].bid_price, quotes["MSFT"].ask_price), (410.07, 410.11))
    same(quotes["AAPL"].ask_price, 180.0)

    listener = Listener(StockDataStream(KEY, SECRET, url_override=urls["data_stream_url"]))
    trades = []

    async def hear_trade(trade):
        trades.append(trade)

    listener.stream.subscribe_quotes(listener.hear, "MSFT")
    listener.stream.subscribe_trades(hear_trade, "MSFT")
    listener.thread.start()
    until("the stream listens", lambda: listening(admin, "prices"))
    # A subscription is confirmed after the claim: prices are moved until one is heard.
    cents = iter(range(1, 10_000))
    until("a quote", lambda: admin.price("MSFT", "411.05", "411.10", f"411.{next(cents) % 90 + 10}") and listener.heard)
    quote = listener.heard[0]
    same((quote.symbol, quote.bid_price, quote.ask_price), ("MSFT", 411.05, 411.1))
    same(abs(quote.timestamp.timestamp() - time.time()) < 60, True)
    until("a trade", lambda: trades)
    same((trades[0].symbol, int(trades[0].price)), ("MSFT", 411))
    listener.stop(lambda: admin.price("MSFT", 412, 413))


def main():
    urls = ready()
    admin = Admin(urls)
    admin.post("/accounts", {"key_id": KEY, "secret": SECRET, "cash": "100000"})
    admin.price("AAPL", "190.5", "190.52")
    admin.price("BRK.B", "455", "455.3")
    admin.price("MSFT", "400", "400.1")
    client = TradingClient(KEY, SECRET, paper=True, url_override=urls["url"])
    look_around(client)
    trade_every_type(client, admin)
    trade_a_bracket(client, admin)
    cancel_and_replace(client)
    be_refused(client, urls["url"])
    close_positions(client)
    listen_to_trades(client, admin, urls)
    look_at_prices(admin, urls)
    all_well()


if __name__ == "__main__":
    main()
