// What little the console does by itself; every page works without it.
"use strict";

// On a narrow screen the rooms are a strip: bring the present one into sight.
const here = document.querySelector(".rooms [aria-current=page]");
if (here) {
  const strip = here.parentElement;
  strip.scrollLeft = here.offsetLeft - (strip.clientWidth - here.offsetWidth) / 2;
}

// A note of what was done is told once, not again when the page is loaded anew.
const address = new URL(location.href);
if (address.searchParams.has("done")) {
  address.searchParams.delete("done");
  address.searchParams.delete("count");
  history.replaceState(null, "", address);
}

// "/" goes to the search box, as in the tools that people know.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.querySelector(".search input").focus();
  }
});
