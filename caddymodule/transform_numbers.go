package caddymodule

import (
	"encoding/json"
	"fmt"

	"github.com/itchyny/gojq"
)

// maxNumber is how many characters a number may have in a program: to read one takes time by the square of that, in a single step that nothing interrupts.
const maxNumber = 1000

var errLongNumber = fmt.Errorf("payload has a number of more than %d characters", maxNumber)

// hasLongNumber reports whether there is a longer number in decoded JSON.
func hasLongNumber(v any) bool {
	switch v := v.(type) {
	case json.Number:
		return len(v) > maxNumber
	case []any:
		for _, element := range v {
			if hasLongNumber(element) {
				return true
			}
		}
	case map[string]any:
		for _, value := range v {
			if hasLongNumber(value) {
				return true
			}
		}
	}
	return false
}

// boundedText is a function that hands a text on, but for one in which there is a longer number.
const boundedText = "_sluice_bounded_text"

func boundNumbers(v any, _ []any) any {
	text, _ := v.(string)
	run := 0
	for i := range len(text) {
		if run++; text[i] < '0' || text[i] > '9' {
			run = 0
		}
		if run > maxNumber {
			return errLongNumber
		}
	}
	return v
}

// boundTexts puts definitions in front of a program that bound what jq's functions make numbers of.
func boundTexts(query *gojq.Query) error {
	for _, name := range []string{"fromjson", "tonumber"} {
		text := fmt.Sprintf("def _sluice_%[1]s: %[1]s; def %[1]s: %[2]s | _sluice_%[1]s; .", name, boundedText)
		bounded, err := gojq.Parse(text)
		if err != nil {
			return fmt.Errorf("bounding %s: %w", name, err)
		}
		query.FuncDefs = append(bounded.FuncDefs, query.FuncDefs...)
	}
	return nil
}
