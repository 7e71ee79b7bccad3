"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const ops = data.operations;
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // --- The graph: colour, zoom, details ---

  const value = {
    seconds: (o) => o.seconds,
    error: (o) => (o.error && o.error.l2_relative !== null ? Math.log10(Math.max(o.error.l2_relative, 1e-8)) + 8 : null),
    range: (o) => (o.range && o.range.largest ? Math.log10(o.range.largest) + 8 : null),
  };
  const kinds = [...new Map(data.time.kinds.map((k, i) => [k.kind, i]))];
  const kindOf = new Map(kinds);

  function colour(by) {
    all("[data-colour]").forEach((b) => b.classList.toggle("on", b.dataset.colour === by));
    const highest = by === "type" ? 1 : Math.max(...ops.map((o) => value[by](o) ?? 0), 1e-30);
    all(".node").forEach((node) => {
      const o = ops[+node.dataset.op];
      const rect = node.querySelector("rect");
      node.classList.remove("hot");
      if (by === "type") {
        const place = kindOf.has(o.type) ? Math.min(kindOf.get(o.type), 9) : 9;
        rect.style.fill = `var(--c${place})`;
        node.classList.toggle("hot", place < 9);
        return;
      }
      const v = value[by](o);
      const share = v === null ? 0 : Math.max(0, Math.min(1, v / highest));
      const shown = by === "seconds" ? Math.sqrt(share) : share ** 2;
      const tint = by === "range" && o.range && o.range.overflows ? "--bad" : "--c0";
      rect.style.fill = shown ? `color-mix(in srgb, var(${tint}) ${Math.round(shown * 100)}%, var(--card))` : "";
      node.classList.toggle("hot", shown > 0.55);
    });
  }

  let scale = 1;
  function zoom(direction) {
    scale = Math.max(0.2, Math.min(3, scale * (direction > 0 ? 1.25 : 0.8)));
    all("svg.graph").forEach((svg) => {
      svg.setAttribute("width", svg.dataset.width * scale);
      svg.setAttribute("height", svg.dataset.height * scale);
    });
  }

  function shown(v) {
    if (v === null || v === undefined) return "–";
    return Math.abs(v) >= 1e-3 && Math.abs(v) < 1e5 ? String(+v.toPrecision(4)) : v === 0 ? "0" : v.toExponential(2);
  }

  function choose(id, scroll) {
    const o = ops[id];
    if (!o) return;
    all(".chosen").forEach((e) => e.classList.remove("chosen"));
    all(`.node[data-op="${id}"], tr[data-op="${id}"]`).forEach((e) => e.classList.add("chosen"));
    const facts = [
      ["kind", o.type],
      ["output", o.name],
      ["type", `${o.dtype}[${o.shape.map((e) => e ?? "?").join(", ")}]`],
      ["time", o.seconds === null ? "none of its own: fused into another, or below a microsecond" : `${(o.seconds * 1e3).toFixed(3)} ms`],
      o.error && ["error", `${shown(o.error.l2_relative)} l2-relative, max abs ${shown(o.error.max_abs)} (${o.error.against})`],
      o.range && ["values", `${shown(o.range.min)} to ${shown(o.range.max)}, ${o.range.elements.toLocaleString("en")} elements`],
      o.range && o.range.overflows && ["beyond float16", o.range.overflows.toLocaleString("en")],
      o.module && ["module", o.module],
      o.source && ["line", o.source],
      o.edge_op && ["edge operator", o.edge_op],
      o.debug_handles.length && ["debug handles", o.debug_handles.join(", ")],
      o.reads.length && ["reads", o.reads.join(", ")],
    ].filter(Boolean);
    const list = document.createElement("dl");
    for (const [name, text] of facts) {
      const dt = document.createElement("dt");
      dt.textContent = name;
      const dd = document.createElement("dd");
      dd.textContent = text;
      list.append(dt, dd);
    }
    const details = document.getElementById("details");
    if (details) details.replaceChildren(list);
    const node = document.querySelector(`.node[data-op="${id}"]`);
    if (scroll && node) {
      document.getElementById("graph").scrollIntoView();
      node.scrollIntoView({ block: "center", inline: "center" });
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && button.dataset.colour) return colour(button.dataset.colour);
    if (button && button.dataset.zoom) return zoom(+button.dataset.zoom);
    const op = event.target.closest("[data-op]");
    if (!op) return;
    if (op.tagName === "A") event.preventDefault();
    choose(+op.dataset.op, !op.closest(".canvas"));
  });
  document.addEventListener("keydown", (event) => {
    const node = event.key === "Enter" && event.target.closest(".node");
    if (node) choose(+node.dataset.op, false);
  });

  // --- The table: sort, filter ---

  const table = document.getElementById("all");
  if (table) {
    const body = table.tBodies[0];
    all("th[data-sort]", table).forEach((th) =>
      th.addEventListener("click", () => {
        const column = +th.dataset.sort;
        const down = !("down" in th.dataset);
        all("th", table).forEach((other) => { delete other.dataset.down; delete other.dataset.up; });
        th.dataset[down ? "down" : "up"] = "";
        const key = (row) => row.cells[column].dataset.v;
        const rows = [...body.rows].sort((a, b) =>
          key(a) === undefined ? a.cells[column].textContent.localeCompare(b.cells[column].textContent) : key(b) - key(a));
        body.append(...(down ? rows : rows.reverse()));
      }));
    document.getElementById("filter").addEventListener("input", (event) => {
      const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of body.rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    });
  }

  if (document.querySelector(".node")) colour("seconds");
  document.documentElement.dataset.ready = "yes";
})();
