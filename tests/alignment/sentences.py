"""A few sentences and their translations."""

SOURCES = [
    "das haus ist klein .",
    "ein hund und eine katze schlafen im garten .",
    "guten morgen !",
    "wir glauben nicht , daß wir rosinen herauspicken sollten .",
    "die drogenabhängigen brauchen hilfe .",
    "er kommt heute nicht nach hause .",
]
TARGETS = [
    "the house is small .",
    "a dog and a cat are asleep in the garden .",
    "good morning !",
    "we do not believe that we should cherry-pick .",
    "drug addicts need help .",
    "he is not coming home today .",
]
