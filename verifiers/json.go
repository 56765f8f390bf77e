package verifiers

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"
)

// MaxJSONDepth is how deep JSON may be nested to count as JSON, far beyond what anybody sends. What reads JSON calls itself for each level, and a program that
// calls itself too often dies as a whole; much work grows by the square of the depth.
const MaxJSONDepth = 512

// ValidJSON reports whether b is JSON, nested MaxJSONDepth levels deep at most. Ask it and nothing else about bytes of strangers.
func ValidJSON(b []byte) bool { return shallowJSON(b) && gjson.ValidBytes(b) } //nolint:forbidigo // its depth is bounded here

// shallowJSON reports whether no part of b that may be JSON is nested deeper than MaxJSONDepth. It does not tell whether b is JSON: up to the first byte at which
// it is not, it counts as any reader does.
func shallowJSON(b []byte) bool {
	if bytes.Count(b, []byte{'['})+bytes.Count(b, []byte{'{'}) <= MaxJSONDepth {
		return true // as nearly all are, and that is counted in no time
	}
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
		case '[', '{':
			if depth++; depth > MaxJSONDepth {
				return false
			}
		case ']', '}':
			depth--
		}
	}
	return true
}

// stringEnd returns where the string ends that begins at b[i]: the place of its quote, or len(b).
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(b)
}

// getJSON reads a path. Functions in paths (@pretty and others) call themselves for each level; all else of a path does not, and takes what is not JSON at all.
func getJSON(b []byte, path string) gjson.Result {
	if strings.Contains(path, "@") && !shallowJSON(b) {
		return gjson.Result{}
	}
	return gjson.GetBytes(b, path)
}

// IndentJSON gives each value of JSON a line of its own. It does nothing, and reports false, if b is not JSON or would become larger than limit: each line begins with the
// blanks of its level, so that a short text that is nested deeply becomes a huge one.
func IndentJSON(b []byte, indent string, limit int) ([]byte, bool) {
	if !ValidJSON(b) || indentedSize(b, len(indent)) > limit {
		return nil, false
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", indent); err != nil {
		return nil, false
	}
	return out.Bytes(), true
}

// indentedSize is about how large IndentJSON makes JSON. Where it errs, brackets with nothing between them were taken for more than they are.
func indentedSize(b []byte, indent int) int {
	size, depth := len(b), 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
		default:
			continue
		}
		size += 1 + depth*indent
	}
	return size
}
