"use strict";
// Everything that is shown comes from the JSON in this page and is written as text, never as markup.
(() => {
  const rows = JSON.parse(document.getElementById("rows").textContent);
  const ROWS_A_PAGE = 100, IN_A_CELL = 4, MOST_CHOICES = 60, IN_A_SELECT = 80;
  const $ = (id) => document.getElementById(id);
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const own = (words) => make("bdi", {}, words); // signs in it that turn the direction of reading end with it
  const shown = (value) => (value === null ? "none" : value === "" ? "(empty)" : value);
  const clipped = (text) => { // its beginning and its end: long prompts often differ there
    const letters = [...text], kept = IN_A_SELECT / 2;
    return letters.length > IN_A_SELECT ? `${letters.slice(0, kept).join("")}…${letters.slice(-kept + 1).join("")}` : text;
  };
  const prompt = (row) => rows.prompt.values[rows.prompt.codes[row]];
  const pathOf = (name) => name.split("/").map(encodeURIComponent).join("/");
  const choosable = (facet) => facet.values.length > 1 && facet.values.length <= MOST_CHOICES;
  const promptFacet = { name: "prompt", axis: false, ...rows.prompt };
  const facets = [...rows.facets, promptFacet];

  // Thumbnails and the cells of the lightbox come in parts: inside this page, or in files beside it, which are named
  // by what is in them: where a later report has taken their place, this page finds none, and says so.
  const parts = new Map(), arrived = new Map();
  window.batchgenPart = (name, part) => arrived.get(name)?.(part);
  const part = (number) => {
    if (rows.parts) return Promise.resolve(rows.parts[number]);
    if (!parts.has(number)) {
      parts.set(number, new Promise((resolve) => {
        const name = rows.beside[number];
        const script = make("script", { src: `${rows.folder}/${name}` });
        const without = () => { arrived.delete(name); $("parts-gone").hidden = false; resolve(null); };
        arrived.set(name, (part) => { script.removeEventListener("load", without); resolve(part); });
        script.addEventListener("error", without);
        script.addEventListener("load", without); // it ran, and brought nothing
        document.head.append(script);
      }));
    }
    return parts.get(number);
  };
  const details = async (row) => {
    const found = await part(Math.floor(row / rows.part_size));
    return found ? found[row % rows.part_size] : null;
  };

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      const row = Number(target.dataset.row);
      details(row).then((found) => { target.src = found?.thumbnail ?? pathOf(rows.files[row]); });
    }
  }, { rootMargin: "300px" });

  const tile = (row, among) => {
    const button = make("button", { type: "button", class: "tile" });
    if (rows.files[row] === null) {
      const status = rows.facets.find((facet) => facet.name === "status");
      button.append(make("span", { class: "none" }, `no image: ${shown(status.values[status.codes[row]])}`));
    } else {
      const image = make("img", { alt: prompt(row), decoding: "async", "data-row": row });
      seen.observe(image);
      button.append(image);
    }
    button.append(make("span", { class: "says", "aria-hidden": rows.files[row] !== null }, prompt(row)));
    button.addEventListener("click", () => openBox(row, among));
    return button;
  };

  // A select for a facet; its value is the number of one of the facet's values, or nothing for any.
  const select = (facet, any, changed) => {
    const choice = make("select", { "data-facet": facet.name });
    if (any) choice.append(make("option", { value: "" }, "any"));
    facet.values.forEach((value, code) => choice.append(make("option", { value: code }, clipped(shown(value)))));
    choice.addEventListener("change", changed);
    return choice;
  };
  let fields = 0;
  const labelled = (text, control) => {
    control.id ||= `field-${++fields}`;
    return make("div", { class: "field" }, make("label", { for: control.id }, text), control);
  };

  // --- the gallery -------------------------------------------------------------------------------------------------
  const text = make("input", { type: "search", id: "search", placeholder: "words, all of which must occur" });
  const filters = facets.filter(choosable).map((facet) => [facet, select(facet, true, () => show(0))]);
  $("filters").append(labelled("full text", text), ...filters.map(([facet, choice]) => labelled(facet.name, choice)));
  const clear = make("button", { type: "button" }, "Clear");
  clear.addEventListener("click", () => {
    text.value = "";
    for (const [, choice] of filters) choice.value = "";
    show(0);
  });
  $("filters").append(clear);
  let waiting = 0;
  text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => show(0), 120); });

  const searched = [...facets, { ...rows.message }, { ...rows.file_prefix }];
  const lowered = new Map();
  const holds = (column, word) => {
    if (!lowered.has(column)) lowered.set(column, column.values.map((value) => (value ?? "").toLowerCase()));
    return lowered.get(column).map((value) => value.includes(word));
  };
  const matching = () => {
    const wanted = filters.filter(([, choice]) => choice.value !== "").map(([facet, choice]) => [facet.codes, Number(choice.value)]);
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = words.map((word) => searched.map((column) => [column.codes, holds(column, word)]));
    const found = [];
    for (let row = 0; row < rows.count; row++) {
      if (wanted.every(([codes, code]) => codes[row] === code) &&
          hits.every((columns) => columns.some(([codes, has]) => has[codes[row]]))) found.push(row);
    }
    return found;
  };

  const says = make("span", { role: "status" });
  const turn = (label) => make("button", { type: "button" }, label);
  const [first, previous, next, last] = ["First", "Previous", "Next", "Last"].map(turn);
  $("pager").append(first, previous, says, next, last);
  let page = 0, found = [];
  const pages = () => Math.max(1, Math.ceil(found.length / ROWS_A_PAGE));
  const showPage = (number) => {
    page = Math.min(Math.max(0, number), pages() - 1);
    const some = found.slice(page * ROWS_A_PAGE, (page + 1) * ROWS_A_PAGE);
    $("tiles").replaceChildren(...some.map((row) => make("li", {}, tile(row, found))));
    const of = found.length === rows.count ? "" : ` of ${rows.count.toLocaleString("en")}`;
    says.textContent = `${found.length.toLocaleString("en")}${of} rows, page ${page + 1} of ${pages()}`;
    first.disabled = previous.disabled = page === 0;
    last.disabled = next.disabled = page === pages() - 1;
  };
  const show = (number) => { found = matching(); showPage(number); };
  first.addEventListener("click", () => showPage(0));
  previous.addEventListener("click", () => showPage(page - 1));
  next.addEventListener("click", () => showPage(page + 1));
  last.addEventListener("click", () => showPage(pages() - 1));

  // --- the grid ----------------------------------------------------------------------------------------------------
  const told = new Set(["status", "error_class", "checks", "split"]);
  const axes = facets.filter((facet) => choosable(facet) && !told.has(facet.name));
  const axisChoice = (chosen, none) => {
    const choice = make("select");
    if (none) choice.append(make("option", { value: "" }, "none"));
    axes.forEach((facet, number) => choice.append(make("option", { value: number }, facet.name)));
    choice.value = chosen;
    choice.addEventListener("change", layOut);
    return choice;
  };
  let across, down;
  const fixed = axes.map((facet) => {
    const choice = select(facet, true, () => drawGrid());
    if (facet.axis) choice.value = "0";
    return choice;
  });
  const layOut = () => {
    const used = new Set([across.value, down.value]);
    fixed.forEach((choice, number) => { choice.parentElement.hidden = used.has(String(number)); });
    drawGrid();
  };
  const drawGrid = () => {
    const x = axes[across.value], y = axes[down.value];
    const wanted = axes.flatMap((facet, number) => {
      const code = fixed[number].value;
      return facet === x || facet === y || code === "" ? [] : [[facet.codes, Number(code)]];
    });
    const cells = new Map();
    const inside = [];
    for (let row = 0; row < rows.count; row++) {
      if (!wanted.every(([codes, code]) => codes[row] === code)) continue;
      const place = `${y ? y.codes[row] : 0}/${x.codes[row]}`;
      if (!cells.has(place)) cells.set(place, []);
      cells.get(place).push(row);
      inside.push(row);
    }
    const columns = x.values.map((_, code) => code).filter((code) => inside.some((row) => x.codes[row] === code));
    const lines = y ? y.values.map((_, code) => code).filter((code) => inside.some((row) => y.codes[row] === code)) : [0];
    const corner = y ? [own(y.name), " ↓  ", own(x.name), " →"] : [own(x.name)];
    const head = make("tr", {}, make("th", { scope: "col" }, ...corner),
      ...columns.map((code) => make("th", { scope: "col" }, shown(x.values[code]))));
    const body = lines.map((line) => make("tr", {}, make("th", { scope: "row" }, y ? shown(y.values[line]) : ""),
      ...columns.map((code) => {
        const held = cells.get(`${line}/${code}`) ?? [];
        const cell = make("td", {}, ...held.slice(0, IN_A_CELL).map((row) => tile(row, held)));
        if (held.length > IN_A_CELL) cell.append(make("p", { class: "soft" }, `and ${(held.length - IN_A_CELL).toLocaleString("en")} more`));
        if (!held.length) cell.append(make("span", { class: "soft" }, "–"));
        return cell;
      })));
    $("grid-table").replaceChildren(make("table", { class: "sweep" }, make("thead", {}, head), make("tbody", {}, ...body)));
    $("grid-says").textContent = `${inside.length.toLocaleString("en")} rows in ${lines.length} × ${columns.length} cells`;
  };
  if (axes.length) {
    const swept = axes.map((facet, number) => [facet, String(number)]).filter(([facet]) => facet.axis).map(([, number]) => number);
    across = axisChoice(swept[0] ?? "0", false);
    const other = axes.includes(promptFacet) ? axes.length - 1 : 1; // of one axis, each prompt is a row
    down = axisChoice(swept[1] ?? (other < axes.length && String(other) !== across.value ? String(other) : ""), true);
    $("grid-controls").append(labelled("columns", across), labelled("rows", down),
      ...fixed.map((choice, number) => labelled(axes[number].name, choice)));
    const draw = () => { $("grid").hidden = false; layOut(); };
    if (swept.length) draw();
    else { // nothing was swept: a grid only for who wants one
      const offer = make("button", { type: "button" }, "Lay out as a grid");
      offer.addEventListener("click", () => { offer.remove(); draw(); $("grid").scrollIntoView(); });
      $("filters").append(offer);
    }
  }

  // --- the lightbox ------------------------------------------------------------------------------------------------
  const box = $("box"), image = $("box-image");
  let among = [], at = 0, copied = "", again = false;
  const openBox = (row, others) => {
    among = others;
    at = others.indexOf(row);
    if (!box.open) box.showModal();
    fill();
  };
  const fill = async () => {
    const row = among[at], file = rows.files[row];
    $("box-says").textContent = `${at + 1} of ${among.length}`;
    $("box-title").textContent = prompt(row);
    // A button that is disabled loses the focus, and the keyboard with it; these only say so.
    $("box-previous").setAttribute("aria-disabled", at === 0);
    $("box-next").setAttribute("aria-disabled", at === among.length - 1);
    image.hidden = $("box-open").hidden = file === null;
    image.alt = prompt(row);
    if (file !== null) image.src = $("box-open").href = pathOf(file);
    const known = facets.map((facet) => [facet.name, facet.values[facet.codes[row]]]).filter(([, value]) => value !== null);
    const detail = await details(row);
    if (among[at] !== row) return; // another was opened meanwhile
    copied = detail?.manifest_row ?? "";
    again = detail?.again ?? false;
    $("box-copy").disabled = !copied;
    $("box-cells").replaceChildren(...(detail?.cells ?? known).map(([name, value]) =>
      make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value))));
  };
  const step = (by) => { if (at + by >= 0 && at + by < among.length) { at += by; fill(); } };
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(copied);
    } catch { // a browser that gives files no clipboard
      const area = make("textarea");
      area.value = copied;
      box.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    $("box-says").textContent = "Copied; paste it under prompts: in a manifest" + (again
      ? ". This image is of a repeat, or in place of a rejected one: the row asks for the first of its kind" : "");
  };
  $("box-previous").addEventListener("click", () => step(-1));
  $("box-next").addEventListener("click", () => step(1));
  $("box-copy").addEventListener("click", copy);
  $("box-close").addEventListener("click", () => box.close());
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });

  show(0);
  performance.mark("ready");
})();
