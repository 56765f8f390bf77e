package verifiers

import (
	"errors"
	"fmt"
	"strings"
)

// format is a compiled Signature.Format: what the items of a signature's value look like.
type format struct {
	text       string
	separators string   // characters between items; empty: the value is one item
	elements   []string // the format split as the value is split
	patterns   [][]formatPart
	foldCase   bool // the literal text is an authentication scheme's name, which has no case
}

// formatPart is literal text or one of the placeholders.
type formatPart struct {
	literal string
	field   formatField
}

type formatField int

const (
	fieldNone formatField = iota
	fieldSignature
	fieldTimestamp
	fieldKeyID
)

var formatFields = map[string]formatField{
	"{signature}": fieldSignature, "{timestamp}": fieldTimestamp, "{key_id}": fieldKeyID,
}

// Bounds on what a sender can make us look at.
const (
	maxSignatureValue = 8 << 10 // bytes of one header
	maxSignatures     = 32      // signatures and items of all headers
	maxElements       = 10000   // elements of a batch that carry one each
)

// sigItem is one signature of a request with what stands beside it.
type sigItem struct {
	value     string
	timestamp string
	keyID     string
	from, to  int // decoded bytes in attempt.encoded; from < 0: cannot be decoded
}

var errFormat = errors.New(`expected literal text with {signature} once, and {timestamp} and {key_id} at most once each, as in "t={timestamp},v1={signature}"`)

// parseFormat reads Signature.Format.
func parseFormat(text, separators string) (*format, error) {
	if text == "" {
		text = "{signature}"
	}
	if separators == "" && strings.Count(text, "{") > 1 {
		if i := strings.IndexAny(strings.NewReplacer("{key_id}", "", "{signature}", "", "{timestamp}", "").Replace(text), ",;&| "); i >= 0 {
			separators = defaultSeparator(text)
		}
	}
	f := &format{text: text, separators: separators}
	seen := map[formatField]int{}
	for _, element := range splitAny(text, separators) {
		pattern, err := parsePattern(element, seen)
		if err != nil {
			return nil, err
		}
		f.elements = append(f.elements, element)
		f.patterns = append(f.patterns, pattern)
	}
	if seen[fieldSignature] != 1 || seen[fieldTimestamp] > 1 || seen[fieldKeyID] > 1 {
		return nil, errFormat
	}
	return f, nil
}

// defaultSeparator is the strongest separator that a format has.
func defaultSeparator(text string) string {
	for _, c := range ",;|& " {
		if strings.ContainsRune(text, c) {
			return string(c)
		}
	}
	return ""
}

// splitAny splits at any of the characters and drops blanks around items and empty items.
func splitAny(s, separators string) []string {
	if separators == "" {
		return []string{s}
	}
	var items []string
	for item := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func parsePattern(element string, seen map[formatField]int) ([]formatPart, error) {
	var parts []formatPart
	for element != "" {
		i := strings.IndexByte(element, '{')
		if i < 0 {
			return append(parts, formatPart{literal: element}), nil
		}
		if i > 0 {
			parts = append(parts, formatPart{literal: element[:i]})
		}
		end := strings.IndexByte(element[i:], '}')
		if end < 0 {
			return nil, errFormat
		}
		field, ok := formatFields[element[i:i+end+1]]
		if !ok {
			return nil, fmt.Errorf("unknown placeholder %s: %w", element[i:i+end+1], errFormat)
		}
		if len(parts) > 0 && parts[len(parts)-1].field != fieldNone {
			return nil, errors.New("two placeholders need literal text or a separator between them")
		}
		seen[field]++
		parts = append(parts, formatPart{field: field})
		element = element[i+end+1:]
	}
	return parts, nil
}

// has tells whether the format has a field.
func (f *format) has(field formatField) bool {
	for _, pattern := range f.patterns {
		for _, p := range pattern {
			if p.field == field {
				return true
			}
		}
	}
	return false
}

// read appends the signatures in value to items. A timestamp or key id belongs to the signatures after it, or to those before it if none came earlier.
func (f *format) read(items []sigItem, value string, prefixOptional bool) ([]sigItem, error) {
	if len(value) > maxSignatureValue {
		return items, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, maxSignatureValue)
	}
	var ts, keyID string
	first, position := len(items), 0
	for rest := value; rest != ""; position++ {
		var item string
		item, rest = f.next(rest)
		if item == "" {
			position--
			continue
		}
		if position == maxSignatures {
			return items, fmt.Errorf("%w: more than %d items", ErrMalformed, maxSignatures)
		}
		found, ok := f.match(item, position, prefixOptional)
		if !ok {
			continue
		}
		if found.timestamp != "" {
			ts = found.timestamp
		}
		if found.keyID != "" {
			keyID = found.keyID
		}
		if found.value != "" {
			items = append(items, sigItem{value: found.value, timestamp: ts, keyID: keyID})
		}
	}
	for i := first; i < len(items); i++ {
		if items[i].timestamp == "" {
			items[i].timestamp = ts
		}
		if items[i].keyID == "" {
			items[i].keyID = keyID
		}
	}
	return items, nil
}

// next cuts the first item off.
func (f *format) next(s string) (item, rest string) {
	if f.separators == "" {
		return strings.TrimSpace(s), ""
	}
	if i := strings.IndexAny(s, f.separators); i >= 0 {
		return strings.TrimSpace(s[:i]), s[i+1:]
	}
	return strings.TrimSpace(s), ""
}

// match finds the first pattern that an item fits.
func (f *format) match(item string, position int, prefixOptional bool) (sigItem, bool) {
	for i, pattern := range f.patterns {
		if pattern[0].literal == "" && len(f.patterns) > 1 && i != min(position, len(f.patterns)-1) {
			continue // told by its position; all items after the last one named are of its kind
		}
		if found, ok := f.fit(pattern, item); ok {
			return found, true
		}
	}
	if prefixOptional && len(f.patterns) == 1 {
		return sigItem{value: item}, true
	}
	return sigItem{}, false
}

// fit reads an item as one pattern: literals must be there, a placeholder reaches up to the next literal.
func (f *format) fit(pattern []formatPart, item string) (sigItem, bool) {
	var found sigItem
	for i, p := range pattern {
		if p.field == fieldNone {
			if len(item) < len(p.literal) || !f.equal(item[:len(p.literal)], p.literal) {
				return sigItem{}, false
			}
			item = item[len(p.literal):]
			continue
		}
		v := item
		if i+1 < len(pattern) {
			end := strings.Index(item, pattern[i+1].literal)
			if end < 0 {
				return sigItem{}, false
			}
			v = item[:end]
		}
		item = item[len(v):]
		switch p.field {
		case fieldSignature:
			found.value = v
		case fieldTimestamp:
			found.timestamp = v
		default:
			found.keyID = v
		}
	}
	return found, item == ""
}

func (f *format) equal(a, b string) bool {
	if f.foldCase {
		return strings.EqualFold(a, b)
	}
	return a == b
}

// write renders a value with one signature.
func (f *format) write(signature, timestamp, keyID string) string {
	return strings.NewReplacer("{signature}", signature, "{timestamp}", timestamp, "{key_id}", keyID).Replace(f.text)
}
