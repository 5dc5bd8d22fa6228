"""Which stored drawings may stand in a page: those that our own renderer makes, and no other."""

from __future__ import annotations

import pytest
from django.template import Context, Template

from governance.presentation import svg
from governance.presentation.svg import UnsafeDrawingError, clean_svg, stored_svg
from tests.page_factories import stored
from workers.charts import BLUE, draw

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10" viewBox="0 0 10 10">'

HOSTILE = {
    "script element": f"{HEAD}<script>alert(1)</script></svg>",
    "event attribute": f'{HEAD}<rect width="1" height="1" onload="alert(1)"/></svg>',
    "event attribute on the root": f'{HEAD[:-1]} onload="alert(1)"></svg>',
    "link": f'{HEAD}<a href="javascript:alert(1)"><text>x</text></a></svg>',
    "use from elsewhere": f'{HEAD}<use href="https://evil.example/x.svg#a"/></svg>',
    "image": f'{HEAD}<image href="https://evil.example/pixel.png"/></svg>',
    "foreign object": f'{HEAD}<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"/></foreignObject></svg>',
    "style element": f"{HEAD}<style>body {{ display: none }}</style></svg>",
    "style attribute": f'{HEAD}<rect style="fill: url(https://evil.example)"/></svg>',
    "animation": f'{HEAD}<animate attributeName="href" to="javascript:alert(1)"/></svg>',
    "set": f'{HEAD}<set attributeName="onmouseover" to="alert(1)"/></svg>',
    "title, where HTML may begin": f"{HEAD}<title><b>x</b></title></svg>",
    "desc, where HTML may begin": f"{HEAD}<desc>x</desc></svg>",
    "paint from elsewhere": f'{HEAD}<rect fill="url(https://evil.example/#a)"/></svg>',
    "paint of a name": f'{HEAD}<rect fill="expression(alert(1))"/></svg>',
    "id of the page": f'{HEAD}<g id="main"/></svg>',
    "class of the page": f'{HEAD}<g class="skip"/></svg>',
    "entity": '<!DOCTYPE svg [<!ENTITY a "b">]>' + f"{HEAD}<text>&a;</text></svg>",
    "comment": f"{HEAD}<!-- --></svg>",
    "processing instruction": '<?xml-stylesheet href="https://evil.example/x.css"?>' + f"{HEAD}</svg>",
    "HTML in the SVG namespace": f"{HEAD}<iframe/></svg>",
    "HTML namespace": f'{HEAD}<p xmlns="http://www.w3.org/1999/xhtml">x</p></svg>',
    "other namespace": f'{HEAD}<x:g xmlns:x="http://example.com"/></svg>',
    "attribute of a namespace": f'{HEAD}<g xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="x"/></svg>',
    "nested drawing": f"{HEAD}{HEAD}</svg></svg>",
    "not SVG": "<html><body>x</body></html>",
    "no namespace": "<svg/>",
    "cut off": HEAD,
    "not a number": f'{HEAD}<rect width="calc(100vw)"/></svg>',
    "transform with a name": f'{HEAD}<g transform="translate(var(--x))"/></svg>',
    "role of its own": f'{HEAD}<g role="button"/></svg>',
    "too deep": HEAD + "<g>" * 60 + "</g>" * 60 + "</svg>",
    "data attribute": f'{HEAD}<g hx-get="/jobs/"/></svg>',
    "tabindex": f'{HEAD}<g tabindex="0"/></svg>',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_drawing_is_refused_whole(name: str) -> None:
    with pytest.raises(UnsafeDrawingError):
        clean_svg(HOSTILE[name].encode())


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00" * 10, b""])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(UnsafeDrawingError):
        clean_svg(content)


def test_a_drawing_larger_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = f"{HEAD}<g/></svg>".encode()
    clean_svg(drawing)
    monkeypatch.setattr(svg, "MAX_BYTES", len(drawing) - 1)

    with pytest.raises(UnsafeDrawingError, match="at most"):
        clean_svg(drawing)


def test_a_drawing_with_too_many_elements_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg, "MAX_ELEMENTS", 3)
    clean_svg(f"{HEAD}<g/><g/></svg>".encode())

    with pytest.raises(UnsafeDrawingError, match="more than 3 elements"):
        clean_svg(f"{HEAD}<g/><g/><g/></svg>".encode())


def test_what_our_own_renderer_draws_may_stand_in_a_page_even_with_hostile_names() -> None:
    hostile = '</text><script>alert("1")</script>'
    spec = {
        "data": {"values": [{"x": hostile, "y": 1}, {"x": "b & c", "y": 2}]},
        "mark": {"type": "bar", "color": BLUE},
        "encoding": {"x": {"field": "x", "type": "nominal"}, "y": {"field": "y", "type": "quantitative"}},
        "description": hostile,
    }

    cleaned = clean_svg(draw(spec).encode())

    assert cleaned.startswith("<svg ")
    assert 'class="chart"' in cleaned
    assert "<script>" not in cleaned
    assert "&lt;script&gt;" in cleaned
    assert f'fill="{BLUE}"' in cleaned


@pytest.mark.django_db
def test_a_page_shows_a_refused_drawing_as_a_sentence_and_keeps_its_numbers() -> None:
    file = stored(HOSTILE["script element"])
    chart = {
        "id": "x",
        "caption": "A sentence. Another.",
        "svg": "x.svg",
        "svg_digest": file.digest,
        "table": {"columns": ["a <b>"], "rows": [[1.5]]},
    }

    page = Template('{% include "governance/_chart.html" %}').render(Context({"chart": chart}))

    assert "<script>" not in page
    assert "The drawing is not shown" in page
    assert "a &lt;b&gt;" in page
    assert "1.50" in page


@pytest.mark.django_db
def test_a_drawing_that_the_store_lacks_is_told() -> None:
    page = Template("{% load assay %}{% drawing chart %}").render(
        Context({"chart": {"svg_digest": "sha256:" + "1" * 64}})
    )

    assert "not in the store" in page


@pytest.mark.django_db
def test_a_stored_drawing_is_read_by_its_digest() -> None:
    file = stored(f'{HEAD}<rect width="1" height="1" fill="#2f5d8a"/></svg>')

    assert '<rect width="1" height="1" fill="#2f5d8a" />' in stored_svg(file.digest)
