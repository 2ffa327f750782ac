"use strict";
/* Which images are listed, and in which order: by words, classes, right or wrong, confidence, and their group. */
const Chosen = (entries, changed) => {
  const { at, make, outcome, translate } = Parts;
  const plain = (text) => text.normalize("NFC").toLowerCase();
  const texts = entries.map(({ name, truth, best }) => plain([name, truth, best?.[0] ?? ""].join("\n")));
  const share = ({ best }) => best?.[1] ?? 0;
  const order = new Intl.Collator(undefined, { numeric: true });

  const OUTCOMES = { right: translate("✓ right"), wrong: translate("✗ wrong"), unknown: translate("not known") };
  const ORDERS = {
    given: [translate("as given"), null],
    unsure: [translate("least confident first"), (one, other) => share(one) - share(other)],
    sure: [translate("most confident first"), (one, other) => share(other) - share(one)],
    wrong: [translate("wrong first, most confident first"), (one, other) => (outcome(one) === "wrong" ? 0 : 1) - (outcome(other) === "wrong" ? 0 : 1) || share(other) - share(one)],
    name: [translate("by name"), (one, other) => order.compare(one.name, other.name)],
  };
  /* What can be chosen among: [what an image has, what it is called]. */
  const CHOICES = {
    predicted: [({ best }) => best?.[0] ?? "", (value) => value],
    truth: [({ truth }) => truth, (value) => value || translate("not known")],
    outcome: [outcome, (value) => OUTCOMES[value]],
    group: [({ group }) => group, (value) => value || translate("none")],
  };

  /* One line for each value with how many images have it; nothing to choose where all are alike. */
  function list(id) {
    const [read, name] = CHOICES[id];
    const counts = new Map();
    for (const entry of entries) counts.set(read(entry), (counts.get(read(entry)) ?? 0) + 1);
    const values = [...counts.keys()].sort(order.compare);
    at(id).replaceChildren(make("option", translate("all"), { value: "" }), ...values.map((value) => (
      make("option", `${name(value)} (${counts.get(value).toLocaleString("en")})`, { value: `=${value}` })
    )));
    at(id).parentElement.hidden = values.length < 2;
  }

  function limits() {
    const [least, most] = ["least", "most"].map((id) => at(id).value.trim());
    return [least === "" ? 0 : Number(least) / 100, most === "" ? 1 : Number(most) / 100];
  }

  /* The indices of the images that are listed. */
  function chosen() {
    const words = plain(at("find").value).split(/\s+/).filter(Boolean);
    const [least, most] = limits();
    const wanted = Object.keys(CHOICES).filter((id) => at(id).value).map((id) => [CHOICES[id][0], at(id).value.slice(1)]);
    const fits = (entry, index) => words.every((word) => texts[index].includes(word))
      && wanted.every(([read, value]) => read(entry) === value)
      && (!entry.best ? least === 0 : share(entry) >= least && share(entry) <= most);
    const found = [...entries.keys()].filter((index) => fits(entries[index], index));
    const [, compare] = ORDERS[at("order").value];
    return compare ? found.sort((one, other) => compare(entries[one], entries[other]) || one - other) : found;
  }

  function update() {
    const found = chosen();
    const active = ["least", "most", ...Object.keys(CHOICES)].filter((id) => at(id).value !== "").length;
    at("filtering").textContent = active ? translate("Filters ({count})", { count: active }) : translate("Filters");
    const all = entries.length.toLocaleString("en");
    const some = found.length < entries.length && found.length.toLocaleString("en");
    at("found").textContent = entries.every(({ boxed }) => boxed)
      ? some ? translate("{found} of {all} boxes", { all, found: some }) : translate("{all} boxes", { all })
      : some ? translate("{found} of {all} images", { all, found: some }) : translate("{all} images", { all });
    at("none").hidden = found.length > 0;
    changed(found);
  }

  function clear() {
    for (const id of ["find", "least", "most", ...Object.keys(CHOICES)]) at(id).value = "";
    update();
    at("find").focus();
  }

  function start() {
    const known = entries.some(({ truth }) => truth);
    const asked = entries.some(({ best }) => best);
    at("find").placeholder = asked ? translate("Find a name or a class") : translate("Find a name");
    const offered = Object.entries(ORDERS).filter(([id]) => id === "given" || id === "name" || (id === "wrong" ? known : asked));
    at("order").replaceChildren(...offered.map(([value, [name]]) => make("option", name, { value })));
    for (const id of Object.keys(CHOICES)) list(id);
    if (!known) at("truth").parentElement.hidden = at("outcome").parentElement.hidden = true;
    at("confidence").hidden = !asked;
    for (const id of ["find", "least", "most", "order", ...Object.keys(CHOICES)]) at(id).addEventListener("input", update);
    at("clear").addEventListener("click", clear);
    update();
  }

  return { start };
};
