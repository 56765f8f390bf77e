package verifiers

import (
	"errors"
	"fmt"
	"strings"
)

// fieldOptions are the options that set fields of a Spec which have other names, most particular first. A name that ends with a dot stands for the fields below it,
// and an option that ends with a blank takes the rest of the field's name as its argument.
var fieldOptions = []struct{ field, option string }{
	{"signature.names", "header"},
	{"signature.numbered", "header"},
	{"signature.encoding", "encoding"},
	{"signature.format", "format"},
	{"timestamp.past", "tolerance"},
	{"timestamp.future", "tolerance"},
	{"timestamp.", "timestamp"},
	{"key.id", "key_id"},
	{"key.", "key"},
	{"key_source.", "jwks"},
	{"jwt.algorithms", "algorithms"},
	{"jwt.claims.", "claim "},
	{"jwt.body_hash", "body_hash"},
	{"values.", "param "},
	{"event.id", "event_id"},
	{"event.type", "event_type"},
	{"event.time", "event_time"},
	{"event.subject", "subject"},
	{"batch.elements", "elements"},
	{"signed[", "signed"},
	{"ack.", "ack"},
	{"refuse_status", "refuse"},
}

// OptionError says what Compile found under the name that [Spec.Set] has for it, so that it can be found in the configuration. Another error, and a field that no
// option sets, stay as they are.
func OptionError(err error) error {
	var e *FieldError
	if !errors.As(err, &e) {
		return err
	}
	for _, f := range fieldOptions {
		if rest, ok := strings.CutPrefix(e.Field, f.field); ok {
			if !strings.HasSuffix(f.option, " ") {
				rest = ""
			}
			return fmt.Errorf("%s%s: %w", f.option, rest, e.Err)
		}
	}
	return err
}
