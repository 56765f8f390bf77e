package verifiers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// option sets one thing of a Spec from the words of a configuration line.
type option struct {
	usage string // what is expected after the name
	min   int
	max   int // -1: any number
	set   func(s *Spec, args []string) error
}

// options are the lines that a provider's or scheme's block may have besides a source's own.
var options = map[string]option{
	"scheme":       {"<scheme>", 1, 1, func(s *Spec, a []string) error { s.Scheme = a[0]; return nil }},
	"name":         {"<text>", 1, 1, func(s *Spec, a []string) error { s.Name = a[0]; return nil }},
	"docs":         {"<url>", 1, 1, func(s *Spec, a []string) error { s.Docs = a[0]; return nil }},
	"header":       {"<Name>...", 1, -1, signatureIn("header")},
	"query":        {"<name>", 1, 1, signatureIn("query")},
	"form":         {"<name>", 1, 1, signatureIn("form")},
	"json":         {"<path>", 1, 1, signatureIn("json")},
	"algorithm":    {"md5|sha1|sha256|sha384|sha512", 1, 1, func(s *Spec, a []string) error { s.Algorithm = a[0]; return nil }},
	"padding":      {"pkcs1v15|pss", 1, 1, func(s *Spec, a []string) error { s.Padding = a[0]; return nil }},
	"prehash":      {"<hash>", 1, 1, func(s *Spec, a []string) error { s.Prehash = a[0]; return nil }},
	"encoding":     {"hex|base64|base64url|raw", 1, 1, func(s *Spec, a []string) error { s.Signature.Encoding = a[0]; return nil }},
	"format":       {`"t={timestamp},v1={signature}" [<separator>]`, 1, 2, setFormat},
	"prefix":       {"<text> [optional]", 1, 2, setPrefix},
	"signed":       {"<template>...", 1, -1, func(s *Spec, a []string) error { s.Signed = slices.Clone(a); return nil }},
	"timestamp":    {"header|query|form|json|claim <name> [unix|unix_ms|rfc3339|rfc3339_no_zone|http_date|auto] [event], or signature [<unit>]", 1, 4, setTimestamp},
	"tolerance":    {"<past>|off [<future>|off]", 1, 2, setTolerance},
	"message_id":   {"<expr>", 1, -1, setExpr(func(s *Spec) *string { return &s.MessageID })},
	"key":          {"raw|base64|base64url|hex|sha1|sha256 [strip <prefix>] [split <separator>]", 1, 5, setKey},
	"key_id":       {"<expr>", 1, -1, setExpr(func(s *Spec) *string { return &s.Key.ID })},
	"jwks":         {"<url>", 1, 1, setJWKS},
	"algorithms":   {"RS256 ...", 1, -1, func(s *Spec, a []string) error { s.jwt().Algorithms = slices.Clone(a); return nil }},
	"claim":        {"<name> <value>", 2, 2, setClaim},
	"body_hash":    {"<claim> [hex|base64|base64url]", 1, 2, setBodyHash},
	"param":        {"<name> <value>", 2, 2, setParam},
	"event_id":     {"<expr>", 1, -1, setExpr(func(s *Spec) *string { return &s.Event.ID })},
	"event_type":   {"<expr>", 1, -1, setExpr(func(s *Spec) *string { return &s.Event.Type })},
	"event_time":   {"<expr>", 1, -1, setExpr(func(s *Spec) *string { return &s.Event.Time })},
	"subject":      {"<expr>", 1, -1, setExpr(func(s *Spec) *string { return &s.Event.Subject })},
	"elements":     {"<json path>", 1, 1, func(s *Spec, a []string) error { s.Batch = &Batch{Elements: a[0]}; return nil }},
	"methods":      {"<METHOD>...", 1, -1, func(s *Spec, a []string) error { s.Methods = slices.Clone(a); return nil }},
	"body":         {"json|form|xml|jwt|text|empty ...", 1, -1, func(s *Spec, a []string) error { s.Body = slices.Clone(a); return nil }},
	"refuse":       {"<4xx>", 1, 1, setRefuse},
	"url_variants": {"<variant>...", 1, -1, func(s *Spec, a []string) error { s.URLVariants = slices.Clone(a); return nil }},
}

// Set applies one line of a configuration's block, as in `signed "{timestamp}.{body}"`. ok is false if the name is not that of an option here. The error says what
// was expected; what the values mean is checked by Compile.
func (s *Spec) Set(name string, args ...string) (ok bool, err error) {
	o, ok := options[name]
	if !ok {
		return false, nil
	}
	if len(args) < o.min || (o.max >= 0 && len(args) > o.max) {
		return true, fmt.Errorf("%s: expected %s", name, o.usage)
	}
	if err := o.set(s, args); err != nil {
		return true, fmt.Errorf("%s: %w: expected %s", name, err, o.usage)
	}
	return true, nil
}

// OptionNames lists what Set knows, sorted.
func OptionNames() []string { return strings.Split(names(options), ", ") }

// OptionUsage is what is expected after an option's name.
func OptionUsage(name string) string { return options[name].usage }

func (s *Spec) jwt() *JWT {
	if s.JWT == nil {
		s.JWT = &JWT{}
	}
	return s.JWT
}

func setExpr(field func(*Spec) *string) func(*Spec, []string) error {
	return func(s *Spec, args []string) error {
		text := strings.Join(args, " ")
		if _, err := ParseExpr(text); err != nil {
			return err
		}
		*field(s) = text
		return nil
	}
}

func signatureIn(place string) func(*Spec, []string) error {
	return func(s *Spec, args []string) error {
		s.Signature.In, s.Signature.Names = place, slices.Clone(args)
		return nil
	}
}

func setFormat(s *Spec, args []string) error {
	s.Signature.Format = args[0]
	if len(args) == 2 {
		s.Signature.Separator = args[1]
	}
	_, err := parseFormat(s.Signature.Format, s.Signature.Separator)
	return err
}

func setPrefix(s *Spec, args []string) error {
	if len(args) == 2 && args[1] != "optional" {
		return fmt.Errorf("unknown word %q", args[1])
	}
	s.Signature.Format, s.Signature.PrefixOptional = args[0]+"{signature}", len(args) == 2
	return nil
}

func setTimestamp(s *Spec, args []string) error {
	t := Timestamp{In: args[0], Past: s.Timestamp.Past, Future: s.Timestamp.Future}
	rest := args[1:]
	if t.In != "signature" {
		if len(rest) == 0 {
			return fmt.Errorf("name is missing")
		}
		t.Names, rest = rest[:1:1], rest[1:]
	}
	for _, word := range rest {
		switch {
		case units[word]:
			t.Unit = word
		case word == "event" || word == "attempt":
			t.Meaning = word
		default:
			return fmt.Errorf("unknown word %q", word)
		}
	}
	s.Timestamp = t
	return nil
}

func setTolerance(s *Spec, args []string) error {
	past, err := ParseDuration(args[0])
	if err != nil {
		return err
	}
	s.Timestamp.Past, s.Timestamp.Future = past.Ptr(), nil
	if len(args) == 2 {
		future, err := ParseDuration(args[1])
		if err != nil {
			return err
		}
		s.Timestamp.Future = future.Ptr()
	}
	return nil
}

func setKey(s *Spec, args []string) error {
	if !slices.Contains(keyDecodings[1:], args[0]) || len(args)%2 == 0 {
		return fmt.Errorf("unknown words %q", args)
	}
	s.Key.Decode = args[0]
	for i := 1; i < len(args); i += 2 {
		switch args[i] {
		case "strip":
			s.Key.StripPrefix = args[i+1]
		case "split":
			s.Key.Split = args[i+1]
		default:
			return fmt.Errorf("unknown word %q", args[i])
		}
	}
	return nil
}

// setJWKS says where keys are published. What params or the request add to the address is checked by Compile.
func setJWKS(s *Spec, args []string) error {
	s.KeySource = &KeySource{URL: args[0], Kind: "jwks"}
	t, err := ParseTemplate(args[0])
	if err != nil || slices.ContainsFunc(t.parts, func(p part) bool { return p.sources != nil }) {
		return err
	}
	return checkKeyAddress(args[0])
}

func setClaim(s *Spec, args []string) error {
	j := s.jwt()
	if j.Claims == nil {
		j.Claims = map[string]string{}
	}
	if _, ok := j.Claims[args[0]]; ok {
		return fmt.Errorf("%s is already specified", args[0])
	}
	j.Claims[args[0]] = args[1]
	return nil
}

func setBodyHash(s *Spec, args []string) error {
	s.jwt().BodyHash = args[0]
	if len(args) == 2 {
		s.JWT.BodyHashEncoding = args[1]
	}
	return nil
}

func setParam(s *Spec, args []string) error {
	if s.Values == nil {
		s.Values = map[string]string{}
	}
	if _, ok := s.Values[args[0]]; ok {
		return fmt.Errorf("%s is already specified", args[0])
	}
	s.Values[args[0]] = args[1]
	return nil
}

func setRefuse(s *Spec, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("%q is not a status", args[0])
	}
	s.RefuseStatus = n
	return nil
}
