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

  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = [];
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
  function recolour(onPaper) { for (const place of drawn) Plotly.relayout(place, colours(onPaper)); }

  async function library() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.appendChild(script);
  }
  function chooseAxis(choice) {
    for (const place of drawn) {
      if (place.dataset.figure !== "search") continue;
      Plotly.restyle(place, { x: place.data.map((trace) => trace.meta[choice]) });
      Plotly.relayout(place, { "xaxis.title.text": choice === "secs" ? "seconds of trials" : "trials", "xaxis.autorange": true });
    }
  }
  async function draw() {
    const places = [...document.querySelectorAll("[data-figure]")].filter((place) => {
      const known = place.dataset.figure in figures;
      place.hidden = !known;
      return known;
    });
    if (!places.length) return;
    await library();
    for (const place of places) {
      const figure = figures[place.dataset.figure];
      await Plotly.newPlot(place, figure.data, figure.layout, { responsive: true, displaylogo: false, scrollZoom: false });
      place.on("plotly_click", (event) => copy(event.points[0].customdata));
      drawn.push(place);
    }
    recolour(false);
    for (const input of document.querySelectorAll("input[name=axis]")) {
      input.addEventListener("change", () => chooseAxis(input.value));
      if (input.checked) chooseAxis(input.value);
    }
    dark.addEventListener("change", () => recolour(false));
    window.addEventListener("beforeprint", () => recolour(true));
    window.addEventListener("afterprint", () => recolour(false));
    document.documentElement.dataset.drawn = String(drawn.length);
  }
  draw().catch((error) => {
    document.documentElement.dataset.failed = String(error);
    tell("the pictures need a newer browser (" + error + "); the tables hold the same numbers");
  });
})();
