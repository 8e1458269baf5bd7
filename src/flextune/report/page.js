"use strict";
(function () {
  const told = document.getElementById("told");
  let forget = 0;
  function tell(text) {
    told.textContent = text;
    clearTimeout(forget);
    forget = setTimeout(() => { told.textContent = ""; }, 6000);
  }
  function copyByHand(text) {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.appendChild(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
  async function copy(text) {
    if (!text) return;
    let done = false;
    try { await navigator.clipboard.writeText(text); done = true; } catch (error) { done = copyByHand(text); }
    tell((done ? "copied: " : "copy this: ") + text);
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button) copy(button.dataset.command);
  });

  let figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();
  let axis = "trials";
  function colours(onPaper) {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    const text = onPaper ? "#000000" : value("--text");
    const line = onPaper ? "#bbbbbb" : value("--line");
    const panel = onPaper ? "#ffffff" : value("--panel");
    return {
      "font.color": text, "xaxis.gridcolor": line, "yaxis.gridcolor": line, "xaxis.zerolinecolor": line,
      "yaxis.zerolinecolor": line, "hoverlabel.bgcolor": panel, "hoverlabel.font.color": text,
    };
  }
  function recolour(onPaper) { for (const place of drawn.values()) Plotly.relayout(place, colours(onPaper)); }

  let loading = null;
  async function unpacked() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.appendChild(script);
  }
  function library() { return loading || (loading = unpacked()); }
  async function chooseAxis() {
    const place = drawn.get("search");
    if (!place) return;
    await Plotly.restyle(place, { x: place.data.map((trace) => trace.meta[axis]) });
    await Plotly.relayout(place, { "xaxis.title.text": axis === "secs" ? "seconds of trials" : "trials", "xaxis.autorange": true });
  }
  async function drawOne(place, name) {
    const figure = figures[name];
    const options = { responsive: true, displaylogo: false, scrollZoom: false };
    const known = drawn.get(name);
    if (known) {
      if (known !== place) place.replaceWith(known);
      await Plotly.react(known, figure.data, figure.layout, options);
      return;
    }
    await Plotly.newPlot(place, figure.data, figure.layout, options);
    place.on("plotly_click", (event) => copy(event.points[0].customdata));
    drawn.set(name, place);
  }
  async function draw() {
    const places = [...document.querySelectorAll("[data-figure]")].filter((place) => {
      const known = place.dataset.figure in figures;
      place.hidden = !known;
      return known;
    });
    if (!places.length) return;
    await library();
    for (const place of places) await drawOne(place, place.dataset.figure);
    recolour(false);
    for (const input of document.querySelectorAll("input[name=axis]")) {
      input.checked = input.value === axis;
      input.addEventListener("change", () => { axis = input.value; chooseAxis(); });
    }
    if (axis !== "trials") await chooseAxis();
    document.documentElement.dataset.drawn = String(drawn.size);
  }
  dark.addEventListener("change", () => recolour(false));
  window.addEventListener("beforeprint", () => recolour(true));
  window.addEventListener("afterprint", () => recolour(false));
  function drawOrTell() {
    return draw().catch((error) => {
      document.documentElement.dataset.failed = String(error);
      tell("the pictures need a newer browser (" + error + "); the tables hold the same numbers");
    });
  }
  const drawing = drawOrTell();

  const address = document.documentElement.dataset.live;
  if (!address) return;
  const live = document.getElementById("live");
  const main = document.getElementById("main");
  function words(node) { return node.tagName + ":" + (node.dataset.command || node.getAttribute("aria-label") || node.textContent); }
  function replace(state) {
    const opened = new Set([...main.querySelectorAll("details[open] > summary")].map(words));
    const scrolled = new Map([...main.querySelectorAll(".wide")].map((node) => [words(node), node.scrollLeft]));
    const focused = main.contains(document.activeElement) ? words(document.activeElement) : null;
    document.getElementById("note").textContent = state.note;
    document.getElementById("sections").innerHTML = state.links;
    main.innerHTML = state.main;
    figures = state.figures;
    for (const summary of main.querySelectorAll("details > summary")) summary.parentElement.open = opened.has(words(summary));
    for (const node of main.querySelectorAll(".wide")) node.scrollLeft = scrolled.get(words(node)) || 0;
    if (focused !== null) {
      const again = [...main.querySelectorAll("a, button, input, summary, [tabindex]")].find((node) => words(node) === focused);
      if (again) again.focus({ preventScroll: true });
    }
    return drawOrTell();
  }
  let waiting = null;
  let following = false;
  async function follow() {
    if (following) return;
    following = true;
    await drawing;
    while (waiting) {
      const state = waiting;
      waiting = null;
      await replace(state);
      document.documentElement.dataset.updates = String(Number(document.documentElement.dataset.updates || 0) + 1);
    }
    following = false;
  }
  const source = new EventSource(address);
  source.addEventListener("state", (event) => { waiting = JSON.parse(event.data); follow(); });
  source.addEventListener("lately", (event) => { live.textContent = event.data; });
  source.addEventListener("error", () => { live.textContent = "flextune watch does not answer; trying again"; });
})();
