// A link may bring the token behind its #, which browsers do not send: it goes into the form.
const given = decodeURIComponent(location.hash.slice(1));
if (location.search === "?wrong") document.getElementById("wrong").hidden = false;
if (given) {
  history.replaceState(null, "", location.pathname);
  document.getElementById("token").value = given;
  document.querySelector("form").submit();
}
