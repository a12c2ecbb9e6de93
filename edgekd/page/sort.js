// A click on a column's name sorts its table by the column, a second one the other way; cells without a value stay last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
    const keyed = [...body.rows].map((row) => [row.cells[head.cellIndex].dataset.key, row]);
    const numbers = keyed.every(([key]) => key === "" || !Number.isNaN(Number(key)));
    keyed.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      return turn * (numbers ? a - b : a.localeCompare(b));
    });
    body.append(...keyed.map(([, row]) => row));
  });
}
