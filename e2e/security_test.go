//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A statement is one of SECURITY.md: how it begins, and the tests that hold it.
type statement struct{ begins, held string }

// statements are what attackers cannot do and what never happens, in the order of the page.
var statements = []statement{
	{"reach a denied address by another spelling", "TestHostile TestGuardJudgesTheDialledAddress TestGuardJudgesTheHostThatIsDialled TestRedirectToADeniedAddress TestHostHasOneForm"},
	{"set a header, body or method", "TestHTTPRequestIsWhatTheModuleSays TestHostile"},
	{"have the credentials of a module sent to the host of a redirect", "TestRedirectToAnotherHostLeavesSecretsBehind TestHostile"},
	{"keep new targets from being watched by inventing others", "TestInventedTargetsKeepNoNewOneFromBeingWatched TestWhatIsRequestedSteadilyIsWatched"},
	{"change the state of a configured target", "TestRequestsDoNotChangeConfiguredTargets"},
	{"have a target that others request reported", "TestShortTimeoutOfARequestIsNoDown"},
	{"block others with half a request", "TestOurselves11SlowClients TestUnreadTargetsKeepNoClientOut TestReserveAnswersWhenAllIsFull"},
	{"make replies that are not read fill the memory", "TestUnreadStreamsTogether TestRepliesShareTheMemory"},
	{"keep the port busy with reloads", "TestStormOfReloads TestStormOfReloadsIsTwoReloads"},
	{"make Rollcall read more than 96 KiB", "TestLongTargetIsBadRequest TestLargeRequestBodiesAreRefused"},
	{"make another user's browser reload", "TestCrossSiteReloadIsRefused TestPagesOfOtherSitesChangeNothing"},
	{"use more memory than that", "TestBombsAreBounded TestOurselves46LargeBodies TestLargeHeadersTogether TestStalledCertificatesTogether TestHeadersOverHTTP2AndHTTP3ShareTheMemory"},
	{"inject HTML, log lines, mail headers or metrics", "TestTargetOutputIsEscaped TestHostileTextStaysInItsLabel TestLabelValueHasNoControlCharacters TestMailIsWellMade"},
	{"make Rollcall show the credentials that it sent", "TestRepeatedSecretsAreNotShown TestEchoedSecretsAreRedacted TestOAuth2TokenServerThatRepeatsSecrets"},
	{"make another target appear down", "TestOurselves46WithoutDescriptorsNothingIsDown TestStalledCertificatesTogether"},
	{"lead it to a denied address, not even between lookup and connecting", "TestHostile TestGuardIsAskedAboutTheAddressThatIsDialled"},
	{"impersonate the target if TLS is verified", "TestTLSRefusesCertificatesAndShowsThem TestTLSConfigForQUICVerifiesToo"},
	{"read or change TLS traffic", "TestProxyTunnelsTLS"},
	{"be used to fetch a denied target", "TestProxyGetsTheAddressThatWasJudged TestProxyDoesNotHideTheTargetFromTheGuard"},
	{"delay a probe", "TestNothingThatHangsDelaysAProbe"},
	{"see a password in plain text", "TestSMTPEncryption"},
	{"have a message sent twice with different Message-IDs", "TestKillNineLosesAndDoublesNoMail TestMailInDoubtIsRepeatedUnderTheSameMessageID"},
	{"make a pinged target appear up or down", "TestForgedRepliesAreIgnored TestAnswerFromAnotherAddressIsIgnored"},
	{"an error must quote a header", "TestQuoteMatchesTheRequest"},
	{"read the outbox", "TestStoreIsForItsUserOnly TestSecretsAreNeverShown"},
	{"run a command through sendmail's arguments", "TestSendmailGetsArgumentsAndMessageAsTheyAre"},
	{"An error of Rollcall or its machine", "TestOurselves46WithoutDescriptorsNothingIsDown TestOurselves46WithoutPortsNothingIsDown TestOurselves46LargeBodies TestNoVerdictIsNever200"},
	{"It is never `probe_success 0`", "TestNoVerdictIsNever200 TestExporterErrorsAreNoNews"},
	{"The same is true when the process was stopped", "TestStoppedProcessReportsNothingDown TestNamesThatThisMachineCannotResolve TestClockBeforeTheBuildJudgesNoCertificate"},
	{"Secrets never appear", "TestSecretsAreNeverShown TestRepeatedSecretsAreNotShown TestNoSecretIsShownWhateverTheOption TestSMTPServerThatRepeatsThePassword TestAnswersLoseThePassword"},
	{"What modules send is a secret", "TestWhatIsSentIsHiddenUnlessTheOperatorShowsIt TestTraceShowsNoCredentialThatIsSentOrRepeated"},
	{"`/-/reload` accepts POST and PUT only", "TestEveryEndpointByMethod"},
	{"A page of another site can make", "TestPagesOfOtherSitesChangeNothing TestCrossSiteReloadIsRefused TestDebugProbesAreNoNews"},
	{"For a page that was loaded under a foreign name", "TestPagesOfOtherSitesChangeNothing"},
	{"Requests of programs are not affected", "TestPagesOfOtherSitesChangeNothing"},
	{"Pages have a Content-Security-Policy", "TestPagesHaveSecurityHeaders"},
	{"sendmail is run by its path", "TestSendmailGetsArgumentsAndMessageAsTheyAre"},
}

// TestEveryStatementOfSecurityIsHeld compares the statements of SECURITY.md with those above: each has a test, and each
// test exists.
func TestEveryStatementOfSecurityIsHeld(t *testing.T) {
	page, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	said := statementsOf(string(page))
	for n, text := range said {
		if n >= len(statements) || !strings.HasPrefix(text, statements[n].begins) {
			t.Fatalf("SECURITY.md says, and no test is named for it here: %s", text)
		}
	}
	if len(said) != len(statements) {
		t.Errorf("SECURITY.md does not say: %s", statements[len(said)].begins)
	}
	tests := testNames(t)
	for _, s := range statements {
		for name := range strings.FieldsSeq(s.held) {
			if !tests[name] {
				t.Errorf("%q is to be held by %s, which does not exist", s.begins, name)
			}
		}
	}
}

// statementsOf returns the clauses of the table's last column, and the sentences of what never happens.
func statementsOf(page string) (all []string) {
	_, attackers, _ := strings.Cut(page, "\n## What an attacker can and cannot do\n")
	attackers, never, _ := strings.Cut(attackers, "\n## What never happens\n")
	never, _, _ = strings.Cut(never, "\n## ")
	parentheses := regexp.MustCompile(`\([^)]*\)`)
	for line := range strings.Lines(attackers) {
		if cells := strings.Split(line, " | "); len(cells) == 3 && !strings.HasPrefix(line, "| attacker ") {
			cannot := parentheses.ReplaceAllString(strings.TrimSuffix(strings.TrimSpace(cells[2]), " |"), "")
			all = append(all, strings.Split(cannot, "; ")...)
		}
	}
	for bullet := range strings.SplitSeq(never, "\n- ") {
		_, text, ok := strings.Cut(strings.Join(strings.Fields(bullet), " "), ".** ")
		if ok {
			all = append(all, regexp.MustCompile(`\. `).Split(text, -1)...)
		}
	}
	return all
}

// testNames are those of all tests of the project.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
