package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

const (
	// maxCELCost ends an evaluation that would take seconds; a comparison of a few fields costs less than 100.
	maxCELCost = 10_000_000
	// maxJSONValues bounds the document that an expression sees: each value takes some 50 bytes once decoded.
	maxJSONValues = 500_000
)

// CEL is a compiled expression of the Common Expression Language over the variable body, a decoded JSON document.
type CEL struct {
	source  string
	program cel.Program
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *CEL) UnmarshalText(text []byte) error {
	env, err := cel.NewEnv(cel.Variable("body", cel.DynType))
	if err != nil {
		return fmt.Errorf("preparing CEL: %w", err)
	}
	ast, issues := env.Compile(string(text))
	if issues.Err() != nil {
		var faults []string
		for _, e := range issues.Errors() {
			faults = append(faults, fmt.Sprintf("at line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, e.Message))
		}
		return fmt.Errorf("the CEL expression does not compile: %s", strings.Join(faults, "; "))
	}
	if out := ast.OutputType(); !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return fmt.Errorf("the CEL expression yields %s; accepted: a bool, as in body.status == \"ok\"", out)
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCELCost), cel.InterruptCheckFrequency(1000))
	if err != nil {
		return fmt.Errorf("the CEL expression does not compile: %w", err)
	}
	c.source, c.program = string(text), program
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (c CEL) MarshalText() ([]byte, error) { return []byte(c.source), nil }

func (c *CEL) String() string { return c.source }

// holds evaluates the expression over a decoded document.
func (c *CEL) holds(ctx context.Context, body any) (bool, error) {
	value, _, err := c.program.ContextEval(ctx, map[string]any{"body": body})
	if err != nil {
		return false, fmt.Errorf("evaluating CEL %q: %w", c.source, err)
	}
	truth, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("evaluating CEL %q: it yields %s, not a bool", c.source, value.Type().TypeName())
	}
	return bool(truth), nil
}

// decodeJSON reads a body for CEL.
func decodeJSON(body []byte) (any, error) {
	if n := bytes.Count(body, []byte(",")) + bytes.Count(body, []byte("[")) + bytes.Count(body, []byte("{")); n > maxJSONValues {
		return nil, fmt.Errorf("the body has some %d JSON values, more than the %d that CEL may see", n, maxJSONValues)
	}
	var document any
	if err := json.Unmarshal(body, &document); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("the body is not JSON: at byte %d: %w", syntax.Offset, err)
		}
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	return document, nil
}
