package caddymodule

import (
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// nearProvider is the id that was probably meant, as a question for an error; nothing if none is near.
func (app *App) nearProvider(id string) string {
	const tooFar = 3
	best, distance := "", tooFar
	for _, candidate := range slices.Concat(sortedKeys(app.Providers), catalogue.IDs(), catalogue.Schemes()) {
		if d := editDistance(strings.ToLower(id), candidate); d < distance && d <= len(candidate)/3 {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// editDistance counts the letters to insert, remove or replace that make one word of the other.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
