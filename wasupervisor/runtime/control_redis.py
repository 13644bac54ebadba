"""The verbs about the gateway's Redis."""

from __future__ import annotations

import msgspec

from wasupervisor.report.connection import Request, Response
from wasupervisor.runtime.redis_orders import NotDoneError, RedisOrders, RedisWish

METHODS = {"check": "POST", "held": "GET", "repair": "POST", "quarantine": "GET", "undo": "POST", "purge": "POST"}
PREFIX = "/redis/"


async def answer_redis(request: Request, orders: RedisOrders) -> Response:
    """Answer a request below `/redis/`."""
    verb = request.path.removeprefix(PREFIX)
    method = METHODS.get(verb)
    if method is None:
        return Response.json(404, {"error": f"no such verb; there are {', '.join(PREFIX + one for one in METHODS)}"})
    if request.method != method:
        return Response.json(405, {"error": f"only {method} is answered here"}, (("Allow", method),))
    try:
        wish = msgspec.json.decode(request.body or b"{}", type=RedisWish)
    except msgspec.MsgspecError as error:
        return Response.json(400, {"error": f"cannot read the request's body: {error}"})
    try:
        return Response.json(200, await orders.do(verb, wish))
    except NotDoneError as error:
        return Response.json(409 if error.about_wish else 503, {"error": str(error)})
