package caddymodule

import (
	"strings"
	"testing"
)

func TestTransform(t *testing.T) {
	for _, c := range []struct{ program, payload, want string }{
		{`{id: .id}`, `{"id":12345678901234567890}`, `{"id":12345678901234567890}`},
		{`[.a * 2, .b * 2, 2 * .b, .c * {"y": {"z": 1}}, .a * .b]`, `{"a":3,"b":"ab","c":{"y":{"x":1}}}`, `[6,"abab","abab",{"y":{"x":1,"z":1}},"ababab"]`},
		{`.a *= 2 | .a`, `{"a":21}`, `42`},
		{`def twice: . * 2; [.[] | twice * 3]`, `[1,2]`, `[6,12]`},
		{`[(1,2) * (10,100)]`, `null`, `[10,20,100,200]`},
		{`reduce .[] as $x (1; . * $x)`, `[1,2,3,4]`, `24`},
		{`"-" * 0`, `null`, `""`},
		{`[.[] | tonumber * 2]`, `["21", 21]`, `[42,42]`},
		{`def fromjson: "own"; [fromjson, (.s | @json)]`, `{"s":"x"}`, `["own","\"x\""]`},
		{`.s | fromjson.n`, `{"s":"{\"n\":12345678901234567890}"}`, `12345678901234567890`},
		{`.n`, `{"n":` + strings.Repeat("9", maxNumber) + `,"s":"` + strings.Repeat("9", maxNumber+1) + `"}`, strings.Repeat("9", maxNumber)},
		{`if . * 1 == 2 then "\(. * 5)" else null end`, `2`, `"10"`},
	} {
		program, err := newTransform(c.program)
		if err != nil {
			t.Fatalf("%s: %v", c.program, err)
		}
		got, err := program.run(t.Context(), []byte(c.payload))
		if err != nil || string(got) != c.want {
			t.Errorf("%s of %s: %s (%v), want %s", c.program, c.payload, got, err, c.want)
		}
	}
}

// TestTransformFailures shows that a program which runs wild ends with an error, and not with the gateway.
func TestTransformFailures(t *testing.T) {
	for _, c := range []struct{ program, payload, want string }{
		{`.a.b.c + {} | error("secret")`, `{}`, "failed on this payload"},
		{`empty`, `{}`, "gave no value"},
		{`.[]`, `[1,2]`, "more than one value"},
		{`halt_error`, `"secret"`, "halted"},
		{`.`, `not json`, "not JSON"},
		{`def f: f; f`, `{}`, "longer than 1s"},
		{`[range(1e12)]`, `null`, "program"}, // time or memory, whichever ends first on this machine
		{`"x" | until(length > 1e12; . + .)`, `null`, "program"},
		{`"x" * .`, `2000000000`, "MiB of memory"},
		{`.s *= 2000000000`, `{"s":"secret"}`, "MiB of memory"},
		{`.n * 100`, `{"n":[` + strings.Repeat("9", maxNumber+1) + `]}`, "number of more than 1000"},
		{`.n | tonumber * 100`, `{"n":"` + strings.Repeat("9", maxNumber+1) + `"}`, "number of more than 1000"},
		{`[.n | fromjson[] * 100]`, `{"n":"[` + strings.Repeat("9", maxNumber+1) + `]"}`, "number of more than 1000"},
		{`"x" * 9000000 | [., .]`, `null`, "larger than 16777216 bytes"},
		{`reduce range(.) as $i (1; [.])`, `513`, "deeper than 512 levels"},
	} {
		program, err := newTransform(c.program)
		if err != nil {
			t.Fatalf("%s: %v", c.program, err)
		}
		got, err := program.run(t.Context(), []byte(c.payload))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %.60q (%v), want %q", c.program, got, err, c.want)
		}
	}
	for _, program := range []string{`.a |`, `input`, `$ENV.HOME | nosuch`, `import "a" as a; .`} {
		if _, err := newTransform(program); err == nil {
			t.Errorf("%s: no error", program)
		}
	}
}
