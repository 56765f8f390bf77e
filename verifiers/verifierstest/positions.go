package verifierstest

import (
	"iter"
	"os"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// everyByte names the environment variable that makes the suite change every single byte, whatever it takes.
const everyByte = "SLUICE_EVERY_BYTE"

// Most positions of one value that are changed where verifying is slow, and under -short.
const (
	slowPositions  = 64
	shortPositions = 24
)

// positions yields the bytes of a value of n bytes that are changed, in order: all of them, or where that would take long an even choice that has both ends and
// is the same in each run.
func positions(spec *verifiers.Spec, n int) iter.Seq[int] {
	most := n
	switch {
	case os.Getenv(everyByte) != "":
	case testing.Short():
		most = shortPositions
	case slow(spec):
		most = slowPositions
	}
	return func(yield func(int) bool) {
		if n <= most {
			for i := range n {
				if !yield(i) {
					return
				}
			}
			return
		}
		for i := range most {
			if !yield(i * (n - 1) / (most - 1)) {
				return
			}
		}
	}
}

// slow tells whether one verification takes a millisecond: curves without assembly, chains of certificates.
func slow(spec *verifiers.Spec) bool {
	if spec.JWT == nil {
		return false
	}
	return spec.JWT.X5C != nil || len(spec.JWT.Algorithms) > 0 && (spec.JWT.Algorithms[0] == "ES384" || spec.JWT.Algorithms[0] == "ES512")
}
