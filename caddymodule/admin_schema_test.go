package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// schemaChecker holds live answers against openapi.json. It knows the part of JSON Schema that the description uses, and fails on any other keyword.
type schemaChecker struct {
	t    testing.TB
	doc  map[string]any
	seen map[string]bool // method and path of the calls that were checked, with the status
}

func newSchemaChecker(t testing.TB) *schemaChecker {
	t.Helper()
	c := &schemaChecker{t: t, seen: map[string]bool{}}
	if err := json.Unmarshal(openAPI, &c.doc); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *schemaChecker) paths() map[string]any { return c.doc["paths"].(map[string]any) }

// match finds the described path of a request's.
func (c *schemaChecker) match(path string) string {
	best := ""
	for pattern := range c.paths() {
		expr := "^" + regexp.MustCompile(`\{[^}]+\}`).ReplaceAllString(pattern, `[^/]+`) + "$"
		if regexp.MustCompile(expr).MatchString(path) && (best == "" || strings.Contains(best, "{")) {
			best = pattern
		}
	}
	return best
}

// answer checks one answer.
func (c *schemaChecker) answer(method, path string, resp *http.Response, body []byte) {
	c.t.Helper()
	pattern := c.match(path)
	operation := map[string]any{"responses": map[string]any{"default": map[string]any{"$ref": "#/components/responses/Problem"}}}
	if pattern != "" {
		if op, ok := c.paths()[pattern].(map[string]any)[strings.ToLower(method)].(map[string]any); ok {
			operation = op
		}
	}
	responses := operation["responses"].(map[string]any)
	described, ok := responses[fmt.Sprint(resp.StatusCode)]
	if !ok {
		described = responses["default"]
		if resp.StatusCode < 400 {
			c.t.Errorf("%s %s: status %d is not described", method, path, resp.StatusCode)
		}
	}
	content := c.resolve(described.(map[string]any))["content"].(map[string]any)
	contentType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	media, ok := content[contentType].(map[string]any)
	if !ok {
		c.t.Errorf("%s %s: content type %q is not described", method, path, contentType)
		return
	}
	c.seen[strings.ToUpper(method)+" "+pattern+" "+fmt.Sprint(resp.StatusCode)] = true
	if !strings.Contains(contentType, "json") {
		return
	}
	if contentType == linesType {
		for line := range bytes.Lines(body) {
			c.document(method+" "+path, media, line)
		}
		return
	}
	c.document(method+" "+path, media, body)
}

// document checks one JSON text.
func (c *schemaChecker) document(at string, media map[string]any, body []byte) {
	c.t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		c.t.Errorf("%s: %v", at, err)
		return
	}
	c.value(at, media["schema"].(map[string]any), v)
}

func (c *schemaChecker) resolve(node map[string]any) map[string]any {
	ref, ok := node["$ref"].(string)
	if !ok {
		return node
	}
	target := any(c.doc)
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		target = target.(map[string]any)[part]
	}
	if target == nil {
		c.t.Fatalf("%s leads nowhere", ref)
	}
	return target.(map[string]any)
}

var schemaKeywords = []string{
	"$ref", "type", "description", "properties", "required", "additionalProperties", "items", "enum", "pattern", "format", "minimum", "maximum", "default",
}

func (c *schemaChecker) value(at string, schema map[string]any, v any) {
	c.t.Helper()
	schema = c.resolve(schema)
	for keyword := range schema {
		if !slices.Contains(schemaKeywords, keyword) {
			c.t.Fatalf("%s: the checker does not know keyword %q", at, keyword)
		}
	}
	kind, ok := schema["type"].(string)
	if !ok {
		return // anything
	}
	switch v := v.(type) {
	case map[string]any:
		c.wantType(at, kind, "object")
		c.object(at, schema, v)
	case []any:
		c.wantType(at, kind, "array")
		for i, element := range v {
			c.value(fmt.Sprintf("%s[%d]", at, i), schema["items"].(map[string]any), element)
		}
	case string:
		c.wantType(at, kind, "string")
		c.text(at, schema, v)
	case float64:
		if kind == "integer" && v != float64(int64(v)) || kind != "integer" && kind != "number" {
			c.t.Errorf("%s: number %v, want %s", at, v, kind)
		}
	case bool:
		c.wantType(at, kind, "boolean")
	default:
		c.t.Errorf("%s: %v, want %s", at, v, kind)
	}
}

func (c *schemaChecker) wantType(at, want, got string) {
	c.t.Helper()
	if want != got {
		c.t.Errorf("%s: %s, want %s", at, got, want)
	}
}

func (c *schemaChecker) object(at string, schema map[string]any, v map[string]any) {
	c.t.Helper()
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			c.t.Errorf("%s: no %s", at, name)
		}
	}
	for name, field := range v {
		if property, ok := properties[name].(map[string]any); ok {
			c.value(at+"."+name, property, field)
			continue
		}
		switch more := schema["additionalProperties"].(type) {
		case map[string]any:
			c.value(at+"."+name, more, field)
		case bool:
			if !more {
				c.t.Errorf("%s: %s is not described", at, name)
			}
		}
	}
}

func (c *schemaChecker) text(at string, schema map[string]any, v string) {
	c.t.Helper()
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, any(v)) {
		c.t.Errorf("%s: %q, want one of %v", at, v, enum)
	}
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(v) {
		c.t.Errorf("%s: %q does not match %s", at, v, pattern)
	}
	if schema["format"] == "date-time" {
		if at2, err := time.Parse(time.RFC3339Nano, v); err != nil || at2.Location() != time.UTC || at2.IsZero() {
			c.t.Errorf("%s: %q is not a time in UTC", at, v)
		}
	}
}
