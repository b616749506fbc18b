"""Hooks of schemathesis: requests that lack nothing but a time that can be kept (1 ms: 429) or a text that is a picture
(415) get it, so that the service looks at the rest of them. Nothing that breaks the schema keeps to it afterwards."""
import schemathesis

PICTURE = ("iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAQMAAABJtOi3AAAABlBMVEX////IHh7kMBY6AAAAO0lEQVR42mNgwAnYHwAJ+R9Aov4fkPj/n4GB8f//"
           "BgjB/P//AQjB/v//A9wEQh1CL9goiKFg48EW4QAAWUcxUSyYnOAAAAAASUVORK5CYII=")
ENOUGH_MS = 30000


def is_short(value):
    return not isinstance(value, bool) and str(value).isascii() and str(value).isdigit() and 0 < int(value) < ENOUGH_MS


def give_time(holder, name):
    if isinstance(holder.get(name), (int, str)) and is_short(holder[name]):
        holder[name] = type(holder[name])(ENOUGH_MS)


def give_picture(value, key=None):
    if isinstance(value, dict):
        return {name: give_picture(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [give_picture(part, key) for part in value]
    return PICTURE if isinstance(value, str) and key in ("image", "images", "inputs", "url") else value


@schemathesis.hook
def before_call(_context, case, _arguments):
    is_json = case.media_type == "application/json" and isinstance(case.body, dict)
    if is_json:
        case.body = give_picture(case.body)
    for holder in (case.headers, case.query, case.body if is_json else None):  # a form that was changed counts as wrong
        for name in ("X-Request-Timeout-Ms", "x-envoy-expected-rq-timeout-ms", "timeout_ms") if hasattr(holder, "get") else ():
            give_time(holder, name)
