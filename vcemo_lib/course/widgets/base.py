"""What all widgets are built on: their script and style, the talk with the page, and the still twin."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import anywidget
import traitlets
from markupsafe import Markup

from vcemo_lib.course.widgets.living import HERE
from vcemo_lib.errors import VcemoError

TABLE = """\
<table>{% if caption %}<caption>{{ caption }}</caption>{% endif %}
{% if heads %}<thead><tr>{% for head in heads %}<th scope='col'>{{ head }}</th>{% endfor %}</tr></thead>
{% endif %}<tbody>{% for row in rows %}<tr><th scope='row'>{{ row[0] }}</th>
{%- for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</tbody></table>"""


class HasTwin:
    """Mixin of widgets: renderers that run no widgets (GitHub, nbviewer) show `twin()` instead."""

    twin: Callable[[], str]  # the widget as still HTML

    def __repr__(self) -> str:
        return type(self).__name__

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        made = super()._repr_mimebundle_(**options)  # type: ignore[misc]
        bundle, metadata = made if isinstance(made, tuple) else (made or {}, {})
        return {**bundle, "text/plain": repr(self), "text/html": self.twin()}, metadata


class View(HasTwin, anywidget.AnyWidget):
    """A widget drawn by one script. It acknowledges every request, so that the page notices a lost kernel."""

    _css = HERE / "widgets.css"

    problem = traitlets.Unicode().tag(sync=True)  # shown on the page: what went wrong and what to do

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.on_msg(self._on_message)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what the page has set (called by ipywidgets), then acknowledge."""
        try:
            super().set_state(sync_data)
        finally:
            self.send({"kind": "answered"})

    def receive_message(self, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """Do what the page asks for; a VcemoError is shown there."""

    def _on_message(self, _: Any, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        self.problem = ""
        try:
            self.receive_message(message, buffers)
        except VcemoError as error:
            self.problem = str(error)
        finally:
            self.send({"kind": "answered"})


def render(template: str, **values: Any) -> str:
    """HTML from a Jinja template; every value is escaped unless it is Markup."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = lambda share: f"{share:.0%}"
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    return environment.from_string(template).render(**values)


def html_table(rows: Iterable[Sequence[Any]], heads: Sequence[str] = (), caption: str = "") -> Markup:
    """A table of rows, each a title and its cells; escaped, unless they are Markup."""
    return Markup(render(TABLE, rows=rows, heads=heads, caption=caption))


def votes_text(votes: Mapping[str, int]) -> str:
    """Raters' votes in words, the most first: "sad 2, neutral 1"."""
    ordered = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
    return ", ".join(f"{label} {count}" for label, count in ordered)
