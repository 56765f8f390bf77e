package verifiers_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// checkOptionError wants an error of Compile to be told under the name of an option wherever one could have set the field.
func checkOptionError(t *testing.T, err error) {
	t.Helper()
	// What only the catalogue and JSON can set.
	others := []string{"scheme", "custom", "algorithm_by.", "signature.in", "signature.ecdsa", "checks[", "dedup.", "deadline", "handshakes[", "jwt.jku", "key_source", "event.time_unit"}
	var field *verifiers.FieldError
	if !errors.As(err, &field) || slices.ContainsFunc(others, func(o string) bool { return strings.HasPrefix(field.Field, o) }) {
		return
	}
	told := verifiers.OptionError(err).Error()
	name := strings.Fields(strings.SplitN(told, ":", 2)[0])[0]
	if name != "ack" && !slices.Contains(verifiers.OptionNames(), name) {
		t.Errorf("%s: no option is called %q", told, name)
	}
	if !strings.HasSuffix(told, field.Err.Error()) {
		t.Errorf("%q lost something of %q", told, err)
	}
}
