package collector

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// This file writes the two text formats, which is what Prometheus nearly always asks for, from prefaces made
// once. expfmt does the same from nothing: it validates and escapes every name again, which took about
// as long as a whole probe of a local target. Tests hold the two byte for byte equal.

// prefaces are the HELP and TYPE lines of each family, the same in both formats.
var prefaces = func() (lines [familyCount]string) {
	for i, d := range descriptors {
		lines[i] = preface(d.name, d.help, dto.MetricType_GAUGE)
	}
	return lines
}()

// preface is the HELP and TYPE lines of a family. No help text needs escaping.
func preface(name, help string, kind dto.MetricType) string {
	return "# HELP " + name + " " + help + "\n# TYPE " + name + " " + strings.ToLower(kind.String()) + "\n"
}

// appendText appends the families that b built last. In OpenMetrics numbers always have a point, and an end mark
// follows the last family.
func (b *builder) appendText(buf []byte, openMetrics bool) []byte {
	for _, f := range b.built {
		buf = append(buf, prefaces[f]...)
		for _, m := range b.families[f].Metric {
			buf = append(buf, descriptors[f].name...)
			buf = appendLabels(buf, m.Label)
			buf = append(buf, ' ')
			buf = appendNumber(buf, *m.Gauge.Value, openMetrics)
			buf = append(buf, '\n')
		}
	}
	if openMetrics {
		buf = append(buf, "# EOF\n"...)
	}
	return buf
}

func appendLabels(buf []byte, labels []*dto.LabelPair) []byte {
	if len(labels) == 0 {
		return buf
	}
	separator := byte('{')
	for _, label := range labels {
		buf = appendLabel(append(buf, separator), *label.Name, *label.Value)
		separator = ','
	}
	return append(buf, '}')
}

func appendLabel(buf []byte, name, value string) []byte {
	buf = append(buf, name...)
	buf = append(buf, '=', '"')
	buf = appendEscaped(buf, value)
	return append(buf, '"')
}

func appendEscaped(buf []byte, value string) []byte {
	plain := 0 // what comes before has been appended
	for i := range len(value) {
		var escaped byte
		switch value[i] {
		case '\\', '"':
			escaped = value[i]
		case '\n':
			escaped = 'n'
		default:
			continue
		}
		buf = append(buf, value[plain:i]...)
		buf = append(buf, '\\', escaped)
		plain = i + 1
	}
	return append(buf, value[plain:]...)
}

func appendNumber(buf []byte, value float64, openMetrics bool) []byte {
	if math.IsInf(value, 0) || math.IsNaN(value) {
		return strconv.AppendFloat(buf, value, 'g', -1, 64)
	}
	start := len(buf)
	if value == 0 {
		buf = append(buf, '0') // also for minus zero
	} else {
		buf = strconv.AppendFloat(buf, value, 'g', -1, 64)
	}
	if openMetrics && !bytes.ContainsAny(buf[start:], "e.") {
		buf = append(buf, ".0"...)
	}
	return buf
}
