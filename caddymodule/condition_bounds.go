package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// Bounds of conditions. CEL's own, the cost limit, is none: to know the cost it searches what it has seen so far at every step, so that a list takes time by the square of its length.
const (
	conditionTime     = time.Second // for all conditions of a request together
	conditionDeadline = 2           // and at most this part of what is left until its deadline
	conditionMemory   = 128 << 20   // that one condition may build on one event, whether it keeps it or not
	conditionElement  = 32          // bytes of one more element of a list
)

var (
	errConditionTime   = fmt.Errorf("when: the conditions of a request ran longer than %s, or than half of what was left until its deadline", conditionTime)
	errConditionMemory = fmt.Errorf("when: the expression built more than %d MiB of values", conditionMemory>>20)
)

// conditionBudget is the time that the conditions of a request have together. It runs from the first of them that goes through a list: no other needs any to speak of.
type conditionBudget struct {
	of     context.Context //nolint:containedctx // it lives as long as the call that has it
	ctx    context.Context //nolint:containedctx // likewise
	cancel context.CancelFunc
}

// context ends when the time is over and for no other reason, because an event passes whose condition is cut off.
func (b *conditionBudget) context() context.Context {
	if b.ctx == nil {
		left := conditionTime
		if deadline, ok := b.of.Deadline(); ok {
			left = min(left, deadline.Sub(now())/conditionDeadline)
		}
		b.ctx, b.cancel = context.WithTimeout(context.WithoutCancel(b.of), left)
	}
	return b.ctx
}

func (b *conditionBudget) end() {
	if b.cancel != nil {
		b.cancel()
	}
}

// conditionBounds makes a program keep its bounds. A loop looks after each element whether its time is over, because what it does with one may be as much as the payload is large.
func conditionBounds() []cel.ProgramOption {
	return []cel.ProgramOption{cel.InterruptCheckFrequency(1), cel.CustomDecoratorV2(countBuilt)}
}

// goesThrough reports whether an expression goes through a list or an object.
func goesThrough(expr ast.Expr) (loops bool) {
	ast.PostOrderVisit(expr, ast.NewExprVisitor(func(e ast.Expr) { loops = loops || e.Kind() == ast.ComprehensionKind }))
	return loops
}

// builtName is where an evaluation counts what it builds. No expression can name it.
const builtName = "#built"

// countBuilt puts a count around what makes something larger than its parts. In a loop it could make much of a small payload.
func countBuilt(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	switch call.Function() {
	case operators.Add, overloads.TypeConvertString, overloads.TypeConvertBytes:
		return countedCall{call}, nil
	}
	return i, nil
}

type countedCall struct{ interpreter.InterpretableCall }

func (c countedCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	value := c.InterpretableCall.Exec(frame)
	named, _ := frame.ResolveName(builtName)
	built, ok := named.(*int)
	if !ok {
		return value
	}
	switch v := value.(type) {
	case types.String:
		*built += len(v)
	case types.Bytes:
		*built += len(v)
	case traits.Lister: // map and filter add one element at a time, and two lists are joined without a copy
		*built += conditionElement
	}
	if *built > conditionMemory {
		panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: errConditionMemory.Error()}) // as CEL's own limit does: Eval returns it
	}
	return value
}

func (c countedCall) Eval(vars interpreter.Activation) ref.Val {
	return c.Exec(interpreter.AsFrame(vars))
}

// conditionError says what kind of failure it was: CEL's own messages quote the payload.
func conditionError(err error) error {
	var cancelled interpreter.EvalCancelledError
	switch {
	case errors.Is(err, interpreter.InterruptError{}):
		return errConditionTime
	case errors.As(err, &cancelled):
		return errConditionMemory
	}
	return errors.New("when: the expression failed on this event (a value of an unexpected type, or out of range)")
}
