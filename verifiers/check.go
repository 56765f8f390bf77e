package verifiers

import (
	"crypto/subtle"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// check is a compiled Check.
type check struct {
	spec   *Check
	expr   *Expr
	equals *Expr
	secret bool // equals any live secret
	match  *regexp.Regexp
}

func (p *Provider) compileChecks() error {
	var err error
	p.checks, err = p.parseChecks("checks", p.spec.Checks)
	return err
}

func (p *Provider) parseChecks(field string, specs []Check) ([]check, error) {
	var out []check
	for i := range specs {
		s := &specs[i]
		field := fmt.Sprintf("%s[%d]", field, i)
		kinds := 0
		for _, set := range []bool{s.Equals != "", len(s.OneOf) > 0, s.Prefix != "", s.Pattern != "", s.Present, s.Absent} {
			if set {
				kinds++
			}
		}
		if s.Expr == "" || kinds != 1 {
			return nil, fieldError(field, "expected expr and exactly one of equals, one_of, prefix, pattern, present and absent")
		}
		c := check{spec: s, secret: s.Equals == "secret"}
		var err error
		if c.expr, err = p.parseExpr(field+".expr", s.Expr); err != nil {
			return nil, err
		}
		if s.Pattern != "" {
			if c.match, err = regexp.Compile(`^(?:` + s.Pattern + `)$`); err != nil {
				return nil, fieldError(field+".pattern", "%w", err)
			}
		}
		if !c.secret {
			if c.equals, err = p.parseExpr(field+".equals", s.Equals); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// holds tells whether a request passes. Comparisons take constant time, for some of these values are secrets.
func (c *check) holds(a *attempt, secrets []Secret) bool {
	v := c.expr.eval(a)
	switch {
	case c.spec.Present:
		return v != ""
	case c.spec.Absent:
		return v == ""
	case v == "" && c.spec.Optional:
		return true
	case len(c.spec.OneOf) > 0:
		return slices.Contains(c.spec.OneOf, v)
	case c.spec.Prefix != "":
		return strings.HasPrefix(v, c.spec.Prefix)
	case c.match != nil:
		return c.match.MatchString(v)
	case c.secret:
		return slices.ContainsFunc(secrets, func(s Secret) bool {
			return len(s.value) > 0 && subtle.ConstantTimeCompare(s.value, []byte(v)) == 1
		})
	}
	want := c.equals.eval(a)
	if want == "" {
		return c.spec.Optional
	}
	return subtle.ConstantTimeCompare([]byte(v), []byte(want)) == 1
}

// holdAll tells whether all checks hold.
func holdAll(checks []check, a *attempt, secrets []Secret) bool {
	for i := range checks {
		if !checks[i].holds(a, secrets) {
			return false
		}
	}
	return true
}

// runChecks runs those checks that belong to the verification; the others wait for Identify.
func (p *Provider) runChecks(a *attempt, secrets []Secret) error {
	for i := range p.checks {
		if c := &p.checks[i]; !c.spec.Unreadable && !c.holds(a, secrets) {
			return fmt.Errorf("%w: check of %s", ErrMismatch, c.spec.Expr)
		}
	}
	return nil
}
