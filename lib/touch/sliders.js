const inputs = Array.from(root.querySelectorAll("input"));
function moved() {
  for (const input of inputs) input.nextElementSibling.textContent = input.value;
  ask(inputs.map(input => Number(input.value)));
}
for (const input of inputs) input.addEventListener("input", moved);
moved();
