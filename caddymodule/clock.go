package caddymodule

import (
	"fmt"
	"time"
)

// now is the one place in this package, beside the timing of an attempt, that reads the machine's clock; tests of the receiving leg replace it.
var now = time.Now

func typeName(v any) string { return fmt.Sprintf("%T", v) }
