package caddymodule

import (
	"bytes"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// A masked path may be meant for a request or for an element of its batch: a provider's secrets are named as they stand in requests, an operator sees elements where
// batches are split and requests where they are not. What is stored depends on `split` when it came, and the quarantine has requests. So each path is read in both ways.

// anywhere stands in a path for what is more than names, so that nobody can tell where it leads.
const anywhere = "@"

// reading is what a path is read of.
type reading bool

const (
	ofRequest reading = false
	ofElement reading = true
)

// elementsPath is where in a request the elements of its batch are: names, and # where a list is.
func elementsPath(b *verifiers.Batch) []string {
	if b.From == "" {
		return append(plainPath(b.Elements), "#")
	}
	expr, err := verifiers.ParseExpr(b.From)
	if places := expr.Places(); err == nil && len(places) == 1 { // a text with the elements in it; one that is not a form's field is masked as a whole or not at all
		switch places[0].Kind {
		case "form":
			if places[0].Funcs == "" {
				return append([]string{places[0].Name}, elementsPath(&verifiers.Batch{Elements: b.Elements})...)
			}
			return []string{places[0].Name, anywhere}
		case "json":
			return append(plainPath(places[0].Name), anywhere)
		}
	}
	return []string{anywhere}
}

// plainPath reads a path in gjson's syntax as a mask's, up to the first thing that no mask can say.
func plainPath(path string) []string {
	var out []string
	for _, segment := range splitPath(strings.ReplaceAll(path, "|", ".")) {
		switch {
		case segment == "", segment == "@this", segment == "[@this]", segment == "@flatten": // a list stays one, and masks look into lists of lists
		case segment == "#":
			out = append(out, segment)
		case strings.ContainsAny(segment, "(@|{[!*?#"):
			return append(out, anywhere)
		default:
			out = append(out, segment)
		}
	}
	return out
}

// maskOf is the mask of a path: of all that the path may lead to where it is more than names.
func maskOf(path []string) string {
	if i := slices.Index(path, anywhere); i >= 0 {
		path = path[:i]
	}
	if len(path) == 0 {
		return "*"
	}
	escaped := make([]string, len(path))
	for i, segment := range path {
		escaped[i] = pathEscaper.Replace(segment)
	}
	return strings.Join(escaped, ".")
}

var pathEscaper = strings.NewReplacer(`\`, `\\`, ".", `\.`)

// behind returns what is left of a mask within what a path leads to: nothing, an empty path, if all of that is masked.
func behind(mask, path []string) [][]string {
	switch {
	case len(mask) == 0, len(path) > 0 && path[0] == anywhere:
		return [][]string{nil}
	case len(path) == 0:
		return [][]string{mask}
	}
	isAny := mask[0] == "*" || mask[0] == "#"
	if path[0] != "#" && !isIndex(path[0]) {
		if !isAny && mask[0] != path[0] {
			return nil
		}
		return behind(mask[1:], path[1:])
	}
	var rest [][]string
	if !isAny { // it looks into lists element by element
		rest = behind(mask, path[1:])
	}
	if isAny || isIndex(mask[0]) {
		rest = append(rest, behind(mask[1:], path[1:])...)
	}
	return rest
}

// requestMasks are the masks of a request.
func (p *privacy) requestMasks() []string {
	masks := slices.Clone(p.Mask)
	for _, elements := range p.Elements {
		for _, mask := range p.Mask {
			masks = append(masks, maskOf(slices.Concat(elements, splitPath(mask))))
		}
	}
	return masks
}

// eventMasks are the masks of a stored event, which is a request or an element. all says that a mask leaves nothing of an element.
func (p *privacy) eventMasks() (masks []string, all bool) {
	masks = p.requestMasks()
	for _, elements := range p.Elements {
		for _, mask := range p.Mask {
			for _, rest := range behind(splitPath(mask), elements) {
				if len(rest) == 0 {
					all = true
					continue
				}
				masks = append(masks, maskOf(rest))
			}
		}
	}
	return masks, all
}

// looksWhole tells whether a payload is a request, not an element, as far as one can see.
func (p *privacy) looksWhole(body []byte) bool {
	if !verifiers.ValidJSON(body) {
		return true // elements are JSON
	}
	return slices.ContainsFunc(p.Elements, func(path []string) bool {
		if i := slices.IndexFunc(path, func(segment string) bool { return segment == "#" || segment == anywhere }); i >= 0 {
			path = path[:i]
		}
		if len(path) == 0 {
			return bytes.HasPrefix(bytes.TrimSpace(body), []byte("["))
		}
		return gjson.GetBytes(body, maskOf(path)).Exists()
	})
}

// hidesPath tells whether a path may lead to something that is masked.
func (p *privacy) hidesPath(path []string, of reading) bool {
	meets := func(masks []string, path []string) bool {
		return slices.ContainsFunc(masks, func(mask string) bool { return pathsMeet(splitPath(mask), path) })
	}
	if of == ofRequest {
		return meets(p.requestMasks(), path)
	}
	return meets(p.Mask, path) || slices.ContainsFunc(p.Elements, func(elements []string) bool { return meets(p.Mask, slices.Concat(elements, path)) })
}
