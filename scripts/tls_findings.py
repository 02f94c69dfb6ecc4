#!/usr/bin/env python3
"""Judges what scanners of TLS have found: see scripts/tls-scan.sh, which starts this.

    tls_findings.py NAME TESTSSL.json SSLSCAN.xml SSLYZE.json SSLYZE.txt

Prints a row for each scanner, and what it does not accept. Exits with 1 if there is such a thing.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

# What testssl.sh finds above LOW, and why it is accepted. Nothing else is.
EXCEPTIONS = {
    "engine_problem": "about the openssl of the machine that scans",
    "cert_revocation": "a certificate of one run has nobody who would say that it was revoked",
    "security_headers": "they belong to the replica's response, which the balancer does not add to",
    "sessionresumption_ticket": "it may leave before it has got the ticket of TLS 1.3; sslyze looks at resumption",
}
ACCEPTED = ["OK", "INFO", "LOW"]
# The least that a scan has to have looked at, or it was none.
LEAST_FINDINGS = 100
OLD = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"]


def testssl(file):
    findings = json.loads(pathlib.Path(file).read_text())
    bad, excepted = [], []
    for finding in findings:
        if finding["severity"] in ACCEPTED:
            continue
        if finding["id"] in EXCEPTIONS:
            excepted.append(finding["id"])
        else:
            bad.append(f"{finding['severity']} {finding['id']}: {finding['finding']}")
    if len(findings) < LEAST_FINDINGS:
        bad.append(f"only {len(findings)} findings: the scan broke off")
    by_id = {finding["id"]: finding["finding"] for finding in findings}
    for what, wanted in [("cert_chain_of_trust", "passed"), ("secure_renego", "supported")]:
        if not by_id.get(what, "").startswith(wanted):
            bad.append(f"{what}: {by_id.get(what)}")
    return bad, f"{len(findings)} findings, excepted {', '.join(excepted) or 'none'}"


def sslscan(file):
    test = ElementTree.parse(file).getroot().find("ssltest")
    protocols = {(p.get("type"), p.get("version")) for p in test.findall("protocol") if p.get("enabled") == "1"}
    ciphers = test.findall("cipher")
    groups = [group.get("name") for group in test.findall("group")]
    bad = []
    if protocols != {("tls", "1.2"), ("tls", "1.3")}:
        bad.append(f"protocols: {sorted(protocols)}")
    if len(ciphers) < 6:
        bad.append(f"only {len(ciphers)} ciphers")
    weak = [c for c in ciphers if c.get("strength") not in ("strong", "acceptable")]
    bad += [f"cipher {c.get('cipher')} is {c.get('strength')}" for c in weak]
    if "x25519" not in groups:
        bad.append(f"no X25519, but {groups}")
    bad += [f"heartbleed with {h.get('sslversion')}" for h in test.findall("heartbleed") if h.get("vulnerable") != "0"]
    if test.find("compression[@supported='1']") is not None:
        bad.append("compression")
    renegotiation = test.find("renegotiation")
    if renegotiation is not None and renegotiation.get("supported") == "1" and renegotiation.get("secure") != "1":
        bad.append("insecure renegotiation")
    return bad, f"TLS 1.2 and 1.3, {len(ciphers)} ciphers, groups {', '.join(groups)}"


def sslyze(file, text):
    scan = json.loads(pathlib.Path(file).read_text())["server_scan_results"][0]
    results = {name: attempt["result"] for name, attempt in scan["scan_result"].items()}
    unfinished = [name for name, attempt in scan["scan_result"].items() if attempt["status"] == "ERROR"]
    if unfinished:
        return [f"not finished: {', '.join(unfinished)}"], "broke off"
    suites = {name: results[f"{name}_cipher_suites"]["accepted_cipher_suites"] for name in OLD + ["tls_1_2", "tls_1_3"]}
    curves = [curve["name"] for curve in results["elliptic_curves"]["supported_curves"]]
    renegotiation = results["session_renegotiation"]
    trusted = [path["was_validation_successful"]
               for deployment in results["certificate_info"]["certificate_deployments"]
               for path in deployment["path_validation_results"] if path["trust_store"]["name"] == "Supplied CA file"]
    faults = {
        "TLS below 1.2": any(suites[name] for name in OLD),
        "no TLS 1.2 or no TLS 1.3": not (suites["tls_1_2"] and suites["tls_1_3"]),
        "compression": results["tls_compression"]["supports_compression"],
        "client renegotiation": renegotiation["is_vulnerable_to_client_renegotiation_dos"],
        "no secure renegotiation": not renegotiation["supports_secure_renegotiation"],
        "heartbleed": results["heartbleed"]["is_vulnerable_to_heartbleed"],
        "injection of CCS": results["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"],
        "ROBOT": not results["robot"]["robot_result"].startswith("NOT_VULNERABLE"),
        # Of tickets it says that they are not taken, because each resumption brings a new one.
        "no resumption": results["session_resumption"]["session_id_resumption_result"] != "FULLY_SUPPORTED",
        "early data": results["tls_1_3_early_data"]["supports_early_data"],
        "no extended master secret": not results["tls_extended_master_secret"]["supports_ems_extension"],
        f"no X25519, but {curves}": "X25519" not in curves,
        "the chain is not trusted": not trusted or not all(trusted),
        "not what Mozilla calls intermediate": "OK - Compliant." not in pathlib.Path(text).read_text(),
    }
    return [fault for fault, there in faults.items() if there], "among others Mozilla's intermediate configuration"


def main():
    name, testssl_file, sslscan_file, sslyze_file, sslyze_text = sys.argv[1:]
    failed = False
    for scanner, judge in [
        ("testssl.sh", lambda: testssl(testssl_file)),
        ("sslscan", lambda: sslscan(sslscan_file)),
        ("sslyze", lambda: sslyze(sslyze_file, sslyze_text)),
    ]:
        bad, seen = judge()
        print(f"{name:<6} {scanner:<11} {'FAILED' if bad else 'ok':<7} {seen}")
        for fault in bad:
            print(f"  {fault}")
        failed |= bool(bad)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
