"""Rendered screens: windows with menus and icons, forms, code, spreadsheets, terminals."""

from __future__ import annotations

from painter.canvas import BLACK, WHITE, Canvas, Colour, any_colour, ink, luma, mix
from painter.words import CODE_WORDS, code, number, phrase


def _begin(canvas: Canvas) -> tuple[Colour, Colour, Colour]:
    """Choose a light or dark theme and cover the canvas; returns the colours of surface, text and accent.

    On some of the screens drawn without supersampling, letters are not antialiased either.
    """
    rng = canvas.rng
    if canvas.unit == 1 and rng.random() < 0.3:
        canvas.draw.fontmode = "1"
    shade = rng.choice((rng.randint(228, 255), rng.randint(228, 255), rng.randint(15, 55)))
    surface = mix((shade, shade, shade), any_colour(rng), rng.uniform(0, 0.08))
    canvas.paper = surface
    canvas.fill(surface)
    text = mix(BLACK, WHITE, rng.uniform(0, 0.2)) if luma(surface) > 127 else mix(WHITE, BLACK, rng.uniform(0, 0.2))
    return surface, text, ink(rng, surface)


def _cap(canvas: Canvas) -> float:
    """A capital height for screens, px."""
    return float(canvas.rng.choice((7, 8, 8, 9, 9, 10, 11, 12, 14, 16)))


def icon(canvas: Canvas, left: float, top: float, cell: int, colour: Colour) -> None:
    """A mirrored pattern of 8 by 8 squares of `cell` px in one or two colours."""
    rng = canvas.rng
    second = rng.choice((colour, any_colour(rng)))
    for row in range(8):
        for column in range(4):
            if rng.random() < 0.5:
                shade = rng.choice((colour, second))
                for x in (column, 7 - column):
                    canvas.rectangle(left + x * cell, top + row * cell, cell, cell, fill=shade)


def windows(canvas: Canvas) -> None:
    """Overlapping windows: title bar, buttons, menu, tool bar, lines of text, an open menu."""
    rng, side = canvas.rng, canvas.side
    surface, text, accent = _begin(canvas)
    canvas.fill(any_colour(rng))
    for _ in range(rng.randint(1, 3)):
        left, top = rng.randint(-60, side // 2), rng.randint(-40, side // 2)
        _window(
            canvas, (left, top, rng.randint(side // 2, side + 60), rng.randint(side // 2, side + 40)), (surface, text, accent)
        )
    if rng.random() < 0.6:
        _menu(canvas, (surface, text, accent))


def _window(canvas: Canvas, box: tuple[int, int, int, int], theme: tuple[Colour, Colour, Colour]) -> None:
    rng, (left, top, width, height), (surface, text, accent) = canvas.rng, box, theme
    face, cap = canvas.face(), _cap(canvas)
    bar, border = round(cap * 2.4), mix(surface, text, rng.uniform(0.2, 0.8))
    canvas.rectangle(left, top, width, height, fill=surface, outline=border, radius=rng.choice((0, 0, 6)))
    title = rng.choice((accent, mix(surface, text, 0.1)))
    canvas.rectangle(left + 1, top + 1, width - 2, bar, fill=title)
    canvas.text(left + 8, top + (bar + cap) / 2, phrase(rng, face.characters, 14), face, cap, colour=ink(rng, title))
    for button in range(3):
        x, y, reach = left + width - 12 - button * 16, top + bar / 2, 4
        if rng.random() < 0.5:
            canvas.ellipse(x, y, reach, reach, fill=any_colour(rng))
        else:
            canvas.line(((x - reach, y - reach), (x + reach, y + reach)), ink(rng, title))
            canvas.line(((x - reach, y + reach), (x + reach, y - reach)), ink(rng, title))
    y = top + bar
    cell = rng.choice((1, 1, 2))
    if rng.random() < 0.7:
        for x in range(left + 6, left + width - 20, 8 * cell + 8):
            icon(canvas, x, y + 4, cell, ink(rng, surface))
        y += 8 * cell + 8
        canvas.rule(left, y, width, border)
    y += cap * 2
    while y < min(top + height, canvas.side + cap):
        room = int((width - 16) / cap)
        if rng.random() < 0.15:
            canvas.rectangle(left + 1, y - 1.4 * cap, width - 2, 1.9 * cap, fill=accent)
            canvas.text(left + 8, y, phrase(rng, face.characters, room)[:room], face, cap, colour=ink(rng, accent))
        else:
            canvas.text(left + 8, y, phrase(rng, face.characters, room)[:room], face, cap, colour=text)
        y += round(cap * 1.9)


def _menu(canvas: Canvas, theme: tuple[Colour, Colour, Colour]) -> None:
    """An open menu with a selected entry, shortcuts and separators."""
    rng, (surface, text, accent) = canvas.rng, theme
    face, cap = canvas.face(), _cap(canvas)
    row = round(cap * 2)
    rows, width = rng.randint(3, 8), rng.randint(80, 140) + round(3 * cap)
    left, top, chosen = rng.randint(0, canvas.side // 2), rng.randint(0, canvas.side // 2), rng.randrange(8)
    canvas.rectangle(left + 3, top + 3, width, rows * row + 2, fill=mix(surface, BLACK, 0.5))
    canvas.rectangle(left, top, width, rows * row + 2, fill=surface, outline=mix(surface, text, 0.5))
    for index in range(rows):
        y = top + 1 + index * row
        colour = text
        if index == chosen:
            canvas.rectangle(left + 1, y, width - 2, row, fill=accent)
            colour = ink(rng, accent)
        key, base = rng.choice(("", "Ctrl+", "F")) + rng.choice("SVXCN123"), y + (row + cap) / 2
        canvas.text(left + width - 6, base, key, face, cap, colour=colour, anchor="rs")
        room = width - 24 - canvas.width_of(key, face, cap)
        canvas.text(left + 8, base, canvas.fitting(phrase(rng, face.characters, 8), face, cap, room), face, cap, colour=colour)
        if rng.random() < 0.2:
            canvas.rule(left + 4, y, width - 8, mix(surface, text, 0.3))


def form(canvas: Canvas) -> None:
    """Labels with fields, check boxes, sliders and buttons, as in dialogs and web pages."""
    rng, side = canvas.rng, canvas.side
    surface, text, accent = _begin(canvas)
    face, cap, radius = canvas.face(), _cap(canvas), rng.choice((0, 3, 8))
    line = mix(surface, text, rng.uniform(0.25, 0.7))
    y, left = rng.randint(-20, 10), rng.randint(-20, 20)
    height = round(cap * 2.4)
    while y < side:
        base = y + (height + cap) / 2
        words = phrase(rng, face.characters, 9)[:14]
        kind = rng.randrange(5)
        if kind == 0:
            canvas.text(left, base, words, face, cap, colour=text)
            field = left + rng.randint(60, 90)
            canvas.rectangle(field, y, side, height, fill=mix(surface, WHITE, 0.6), outline=line, radius=radius)
            canvas.text(field + 6, base, code(rng, face.characters), face, cap, colour=BLACK)
        elif kind == 1:
            box = round(cap * 1.4)
            round_box = rng.random() < 0.5
            canvas.rectangle(left, y + 4, box, box, fill=rng.choice((None, accent)), outline=line, radius=box / 2 * round_box)
            if rng.random() < 0.5:
                canvas.line(((left + 3, y + 4 + box / 2), (left + box / 2, y + box), (left + box - 2, y + 7)), text, 1.5)
            canvas.text(left + box + 6, base, words, face, cap, colour=text)
        elif kind == 2:
            x = left
            while x < side:
                label = phrase(rng, face.characters, 4)[:10]
                width, fill = round(canvas.width_of(label, face, cap)) + 20, rng.choice((accent, mix(surface, text, 0.12)))
                canvas.rectangle(x, y, width, height, fill=fill, outline=rng.choice((None, line)), radius=radius)
                canvas.text(x + width / 2, base, label, face, cap, colour=ink(rng, fill), anchor="ms")
                x += width + 10
        elif kind == 3:
            reach = rng.randint(10, side)
            canvas.rectangle(left, y + height // 2, side - 20, 3, fill=line)
            canvas.rectangle(left, y + height // 2, reach, 3, fill=accent)
            canvas.ellipse(left + reach, y + height // 2 + 1, 6, 6, fill=WHITE, outline=line)
        else:
            canvas.text(left, base, phrase(rng, face.characters, 30), face, cap * 1.3, colour=accent)
            canvas.rule(left, y + height, side, line)
        y += height + rng.randint(4, 12)


def listing(canvas: Canvas) -> None:
    """Coloured source code with line numbers and indentation guides."""
    rng, side = canvas.rng, canvas.side
    surface, text, _ = _begin(canvas)
    face, cap = canvas.face(monospaced=True), _cap(canvas)
    colours = [text, text, *(ink(rng, surface) for _ in range(4))]
    faint, advance = mix(surface, text, 0.4), canvas.width_of("0", face, cap)
    gutter, first, depth = round(advance * rng.choice((0, 4, 5))), rng.randint(1, 900), 0
    leading = round(cap * rng.uniform(1.7, 2.3))
    for row, y in enumerate(range(rng.randint(0, leading), side + leading, leading)):
        if gutter:
            canvas.text(gutter - advance, y, str(first + row), face, cap, colour=faint, anchor="rs")
        depth = max(0, min(4, depth + rng.choice((-1, 0, 0, 0, 1))))
        for level in range(depth):
            canvas.rule(round(gutter + 4 * level * advance), y - leading + 3, leading, mix(surface, text, 0.15), upright=True)
        if row == 4:
            canvas.rectangle(gutter, y - leading + 3, side, leading, fill=mix(surface, text, 0.08))
        x = gutter + 4 * depth * advance
        for token in _tokens(canvas):
            word = "".join(c for c in token if c in face.characters)
            canvas.text(x, y, word, face, cap, colour=rng.choice(colours))
            x += advance * (len(word) + rng.choice((0, 1, 1)))
            if x > side:
                break


def _tokens(canvas: Canvas) -> list[str]:
    """A line that looks like program code."""
    rng = canvas.rng
    names = rng.choices(CODE_WORDS, k=4)
    form_of_line = rng.randrange(7)
    return (
        [],
        [names[0], "=", names[1] + "(" + names[2] + ",", str(rng.randrange(999)) + ")"],
        ["if", names[0], rng.choice(("==", "<=", "!=", ">")), str(rng.randrange(99)), rng.choice((":", "{"))],
        ["#", *names],
        ["return", names[0] + "[" + names[1] + "]", rng.choice("+-*/%"), names[2] + ";"],
        [names[0] + "." + names[1], "=", f'"{names[2]} {rng.randrange(99)}"'],
        ["for", names[0], "in", names[1] + "_" + names[2] + "():"],
    )[form_of_line]


def spreadsheet(canvas: Canvas) -> None:
    """A grid of one-pixel lines with letters and numbers at its edges, a selected cell, and numbers."""
    rng, side = canvas.rng, canvas.side
    surface, text, accent = _begin(canvas)
    face, cap = canvas.face(), _cap(canvas)
    grid, head = mix(surface, text, rng.uniform(0.12, 0.35)), mix(surface, text, 0.1)
    height, width = round(cap * rng.uniform(1.9, 2.5)), round(cap * rng.uniform(4.5, 9))
    first_row, first_column, margin = rng.randint(1, 990), rng.randint(0, 22), round(cap * 3.2)
    canvas.rectangle(0, 0, side, height, fill=head)
    canvas.rectangle(0, 0, margin, side, fill=head)
    for row in range(side // height + 1):
        top = row * height
        if row:
            canvas.text(margin - 4, top + (height + cap) / 2, str(first_row + row), face, cap, colour=text, anchor="rs")
        for column in range((side - margin) // width + 1):
            left = margin + column * width
            if row == 0:
                canvas.text(
                    left + width / 2,
                    (height + cap) / 2,
                    chr(65 + first_column + column % 4),
                    face,
                    cap,
                    colour=text,
                    anchor="ms",
                )
                continue
            if rng.random() < 0.08:
                canvas.rectangle(left, top, width, height, fill=mix(surface, any_colour(rng), 0.35))
            value = number(rng, face.characters) if rng.random() < 0.7 else phrase(rng, face.characters, 4)
            if rng.random() < 0.85:
                value = canvas.fitting(value, face, cap, width - 6)
                canvas.text(left + width - 4, top + (height + cap) / 2, value, face, cap, colour=text, anchor="rs")
    for place in range(0, side, height):
        canvas.rule(0, place, side, grid)
    for place in range(margin, side, width):
        canvas.rule(place, 0, side, grid, upright=True)
    left, top = margin + width * rng.randrange(2), height * rng.randint(1, 4)
    canvas.rectangle(left, top, width + 1, height + 1, outline=accent, stroke=2)


def terminal(canvas: Canvas) -> None:
    """Lines of a shell: prompts, listings, numbers, progress bars, mostly light on dark."""
    rng, side = canvas.rng, canvas.side
    _begin(canvas)
    canvas.paper = rng.choice((BLACK, (12, 12, 12), (0, 43, 54), (40, 42, 54), (48, 10, 36), WHITE))
    canvas.fill(canvas.paper)
    face, cap = canvas.face(monospaced=True), _cap(canvas)
    text, colours = ink(rng, canvas.paper), [ink(rng, canvas.paper) for _ in range(3)]
    advance, leading = canvas.width_of("0", face, cap), round(cap * rng.uniform(1.6, 2))
    for y in range(rng.randint(0, leading), side + leading, leading):
        kind, x = rng.randrange(4), -rng.choice((0, 0, 6)) * advance
        if kind == 0:
            prompt = rng.choice(("$", ">", "user@host:~/" + rng.choice(CODE_WORDS) + "$", "#"))
            canvas.text(x, y, prompt, face, cap, colour=colours[0])
            canvas.text(x + (len(prompt) + 1) * advance, y, phrase(rng, face.characters, 20), face, cap, colour=text)
        elif kind == 1:
            canvas.text(x, y, f"-rw-r--r-- {rng.randrange(10**6):>7} " + rng.choice(CODE_WORDS), face, cap, colour=text)
        elif kind == 2:
            share = rng.randrange(20)
            canvas.text(x, y, f"[{'#' * share}{'.' * (20 - share)}] {share * 5}%", face, cap, colour=colours[1])
        else:
            canvas.text(x, y, phrase(rng, face.characters, 40), face, cap, colour=rng.choice((text, *colours)))


PAINTERS = (windows, form, listing, spreadsheet, terminal)
