// Package jsoncel evaluates expressions of the Common Expression Language over a JSON document, with a bound on their cost. It
// knows nothing of HTTP.
package jsoncel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"rollcall/probe"
	"rollcall/probe/option"
)

const (
	// maxCELCost ends an evaluation that would take seconds; a comparison of a few fields costs less than 100.
	maxCELCost = 10_000_000
	// MaxValues bounds the document that an expression sees: each value takes some 50 bytes once decoded.
	MaxValues = 500_000
)

// Expression is a compiled expression of the Common Expression Language over the variable body, a decoded JSON document.
type Expression struct {
	source  string
	program cel.Program
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Expression) UnmarshalText(text []byte) error {
	environment, err := newCELEnv()
	if err != nil {
		return fmt.Errorf("preparing CEL: %w", err)
	}
	ast, issues := environment.Compile(string(text))
	if issues.Err() != nil {
		var errs []string
		for _, issue := range issues.Errors() {
			errs = append(errs, fmt.Sprintf("at line %d, column %d: %s", issue.Location.Line(), issue.Location.Column()+1, issue.Message))
		}
		return fmt.Errorf("the CEL expression does not compile: %s", strings.Join(errs, "; "))
	}
	if out := ast.OutputType(); !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return &option.Unusable{Err: fmt.Errorf("the CEL expression yields %s; accepted: a bool, e.g. body.status == \"ok\"", out)}
	}
	program, err := environment.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCELCost), cel.InterruptCheckFrequency(1),
		cel.OptimizeRegex(constantMatches(overloads.Matches), constantMatches(overloads.MatchesString)))
	if err != nil {
		return fmt.Errorf("the CEL expression does not compile: %w", err)
	}
	e.source, e.program = string(text), program
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (e Expression) MarshalText() ([]byte, error) { return []byte(e.source), nil }

func (e *Expression) String() string { return e.source }

// Holds evaluates the expression over a decoded document. Its error is a *Failure where the document is not what the
// expression is about, and an *ExporterError where evaluating takes too long.
func (e *Expression) Holds(ctx context.Context, document any) (bool, error) {
	value, _, err := e.program.ContextEval(ctx, map[string]any{"body": document})
	if err != nil {
		err = fmt.Errorf("evaluating CEL %q: %w", e.source, err)
		cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err)
		if errors.Is(err, interpreter.InterruptError{}) || errors.Is(err, errLongMatch) || ok && cancelled.Cause == interpreter.CostLimitExceeded {
			return false, option.SlowExpression(ctx, err)
		}
		return false, probe.Fail(probe.StageCheck, probe.ReasonBodyCEL, err)
	}
	truth, ok := value.(types.Bool)
	if !ok {
		return false, probe.Failf(probe.StageCheck, probe.ReasonBodyCEL, "evaluating CEL %q: it yields %s, not a bool", e.source, value.Type().TypeName())
	}
	return bool(truth), nil
}

// newCELEnv is CEL with its standard library, but for matches: a regular expression is the one step of an evaluation that
// may take long by itself, and cannot be interrupted.
func newCELEnv() (*cel.Env, error) {
	two := []*cel.Type{cel.StringType, cel.StringType}
	return cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{ExcludeFunctions: []*env.Function{env.NewFunction(overloads.Matches)}})),
		cel.Function(overloads.Matches,
			cel.Overload(overloads.Matches, two, cel.BoolType),
			cel.MemberOverload(overloads.MatchesString, two, cel.BoolType),
			cel.SingletonBinaryBinding(func(text, pattern ref.Val) ref.Val {
				p, ok := pattern.(types.String)
				if !ok || len(p) > maxCELPattern {
					return types.NewErr("matches: the pattern is no string of up to %d bytes", maxCELPattern)
				}
				re, err := option.CompileRegexp(string(p))
				if err != nil {
					return types.WrapErr(err)
				}
				return celMatch(re, text)
			})),
		cel.Variable("body", cel.DynType))
}

// maxCELPattern bounds a pattern that the document supplies.
const maxCELPattern = 1 << 10

// constantMatches compiles the pattern of matches at load where it is constant.
func constantMatches(overload string) *interpreter.RegexOptimization {
	return &interpreter.RegexOptimization{
		Function: overloads.Matches, OverloadID: overload, RegexIndex: 1,
		Factory: func(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
			re, err := option.CompileRegexp(pattern)
			if err != nil {
				return nil, err
			}
			return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
				return celMatch(re, args[0])
			}), nil
		},
	}
}

var errLongMatch = errors.New("matches: the text is too long for this pattern")

func celMatch(re option.Regexp, text ref.Val) ref.Val {
	t, ok := text.(types.String)
	switch {
	case !ok:
		return types.MaybeNoSuchOverloadErr(text)
	case re.Steps(len(t)) > option.QuickSteps:
		return types.WrapErr(errLongMatch)
	default:
		return types.Bool(re.MatchString(string(t)))
	}
}

// Decode reads a body as the document that expressions see.
func Decode(body []byte) (any, error) {
	if n := bytes.Count(body, []byte(",")) + bytes.Count(body, []byte("[")) + bytes.Count(body, []byte("{")); n > MaxValues {
		return nil, fmt.Errorf("the body has some %d JSON values, more than the %d that CEL may see", n, MaxValues)
	}
	var document any
	if err := json.Unmarshal(body, &document); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("the body is not JSON: at byte %d: %w", syntax.Offset, err)
		}
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	return document, nil
}
