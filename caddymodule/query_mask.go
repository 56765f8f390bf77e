package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// maskText stands in for what is not shown.
const maskText = "***"

// maxMaskDepth is how many levels of a payload are looked into for what is masked.
const maxMaskDepth = 32

// errCannotMask means that a payload is of a kind in which the masked paths cannot be found, so that it is not shown at all.
var errCannotMask = errors.New("payload is neither JSON nor a form, so what must be masked in it cannot be found")

// maskPayload replaces the values at paths. All other bytes stay as they came, but for blanks between them. It reports whether there was anything to replace.
func maskPayload(body []byte, contentType string, paths []string) ([]byte, bool, error) {
	if len(paths) == 0 || len(bytes.TrimSpace(body)) == 0 {
		return body, false, nil
	}
	split := make([][]string, len(paths))
	for i, p := range paths {
		split[i] = splitPath(p)
	}
	if verifiers.ValidJSON(body) {
		out, hit := maskJSON(gjson.ParseBytes(body), split, maxMaskDepth)
		if !hit {
			return body, false, nil
		}
		return out, true, nil
	}
	if strings.HasPrefix(contentType, formType) {
		for _, p := range paths {
			split = append(split, []string{p}) // a field may have a dot in its name
		}
		return maskForm(body, split)
	}
	return nil, false, errCannotMask
}

// checkMask refuses what is no path: it would mask nothing.
func checkMask(paths []string) error {
	for _, path := range paths {
		switch bare, typed := strings.CutPrefix(path, "json:"); {
		case typed:
			return fmt.Errorf("mask %q: want the path alone: %s", path, bare)
		case isPlaceholder(path) || slices.Contains(splitPath(path), ""):
			return fmt.Errorf("mask %q: want a path such as data.card.number", path)
		}
	}
	return nil
}

// splitPath splits a path at its dots; a dot that is part of a name is written "\.".
func splitPath(path string) []string {
	var segments []string
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\' && i+1 < len(path):
			i++
			b.WriteByte(path[i])
		case path[i] == '.':
			segments = append(segments, b.String())
			b.Reset()
		default:
			b.WriteByte(path[i])
		}
	}
	return append(segments, b.String())
}

// maskJSON writes a value anew with what the paths lead to replaced. In a path, * and # stand for every field or element. An array that a name meets is
// looked into element by element, so that a path does not miss what a provider sends as a list now and then. What lies deeper than it may look is replaced as a whole:
// each level is read again for all those above it.
func maskJSON(value gjson.Result, paths [][]string, levels int) ([]byte, bool) {
	if !value.IsObject() && !value.IsArray() {
		return []byte(value.Raw), false
	}
	if levels == 0 {
		return []byte(`"` + maskText + `"`), true
	}
	isArray, hit, first, index := value.IsArray(), false, true, 0
	var out bytes.Buffer
	out.WriteByte(value.Raw[0])
	value.ForEach(func(key, element gjson.Result) bool {
		if !first {
			out.WriteByte(',')
		}
		first = false
		if !isArray {
			out.WriteString(key.Raw)
			out.WriteByte(':')
		}
		rest, whole := pathsInto(paths, key.String(), index, isArray)
		index++
		switch {
		case whole:
			out.WriteString(`"` + maskText + `"`)
			hit = true
		case len(rest) > 0:
			raw, inner := maskJSON(element, rest, levels-1)
			out.Write(raw)
			hit = hit || inner
		default:
			out.WriteString(element.Raw)
		}
		return true
	})
	if isArray {
		out.WriteByte(']')
	} else {
		out.WriteByte('}')
	}
	return out.Bytes(), hit
}

// pathsInto returns what is left of the paths behind a field or element; whole if one of them ends there.
func pathsInto(paths [][]string, key string, index int, isArray bool) (rest [][]string, whole bool) {
	for _, p := range paths {
		head := p[0]
		switch {
		case head == "*", head == "#", !isArray && head == key, isArray && head == strconv.Itoa(index):
			if len(p) == 1 {
				return nil, true
			}
			rest = append(rest, p[1:])
		case isArray:
			rest = append(rest, p)
		}
	}
	return rest, false
}

// maskForm replaces what the paths lead to: values of fields, and what is in them where they are JSON. A path that leaves out the field's name is followed within
// each field: the same provider may send the same payload as JSON or as a field of a form.
func maskForm(body []byte, paths [][]string) ([]byte, bool, error) {
	fields, hit := strings.Split(string(body), "&"), false
	for i, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			return nil, false, errCannotMask
		}
		rest, found := pathsInto(paths, plain, 0, false)
		masked := maskText
		if !found {
			masked, found = maskField(value, slices.Concat(rest, paths))
		}
		if found {
			fields[i], hit = name+"="+masked, true
		}
	}
	return []byte(strings.Join(fields, "&")), hit, nil
}

// maskField replaces what the paths lead to in a field's value, if that is JSON. What only looks like it is replaced as a whole.
func maskField(value string, paths [][]string) (string, bool) {
	plain, err := url.QueryUnescape(value)
	if err != nil {
		return maskText, true
	}
	switch start := strings.TrimLeft(plain, " \t\r\n\ufeff"); {
	case !strings.HasPrefix(start, "{") && !strings.HasPrefix(start, "["):
		return value, false
	case !verifiers.ValidJSON([]byte(plain)):
		return maskText, true
	}
	out, hit := maskJSON(gjson.Parse(plain), paths, maxMaskDepth)
	return url.QueryEscape(string(out)), hit
}
