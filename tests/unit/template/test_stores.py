"""What must hold for the data stores in AWS, whatever is added to them, and for who reaches them."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import grimp
import pytest
import sqlalchemy as sa
from hongyan import stores

from local.engines import CACHE_ACCESS
from tests.support.template import STORES, TEMPLATE, resources, template

FUNCTIONS = resources("AWS::Serverless::Function")
SIZES: dict[str, dict[str, Any]] = template(STORES)["Mappings"]["Sizes"]
KEY = {"GetAtt": "Key.Arn"}

# Who calls something that only answers on the internet.
CALLERS = {"hongyan.management", "functions.user.sms", "functions.speech.recognition"}
# The owner of the stores, and who comes from outside as clients do.
APART = {"MigrationFunction", "SmokeFunction"}
CACHE_USERS = {"hongyan.connections", "hongyan.sessions", "hongyan.rate_limits", "hongyan.tickets"}


def the(resource_type: str) -> dict[str, Any]:
    [properties] = resources(resource_type, STORES).values()
    return properties


def found(kind: str, within: Any) -> Iterator[Any]:
    """Find every use of a function of CloudFormation."""
    if isinstance(within, dict):
        for name, value in within.items():
            if name == kind:
                yield value
            yield from found(kind, value)
    elif isinstance(within, list):
        for value in within:
            yield from found(kind, value)


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("functions", "hongyan")


def importers(modules: set[str]) -> set[str]:
    """Return the functions whose code can come to one of the modules."""
    handlers = {name: f["Handler"].rpartition(".")[0] for name, f in FUNCTIONS.items() if name not in APART}
    return {name for name, module in handlers.items() if modules & {module, *imports().find_upstream_modules(module)}}


def allowed(policy: str) -> set[str]:
    return {role["Ref"].removesuffix("Role") for role in resources("AWS::IAM::Policy")[policy]["Roles"]}


def test_nobody_gets_in_but_by_a_flow_that_names_who_and_where() -> None:
    flows = resources("AWS::EC2::SecurityGroupIngress", STORES).values()

    assert {
        (f["SourceSecurityGroupId"]["Ref"], f["GroupId"]["Ref"], f["FromPort"], f["ToPort"], f["IpProtocol"])
        for f in flows
    } == {
        ("FunctionsSecurityGroup", "ProxySecurityGroup", 3306, 3306, "tcp"),
        ("ProxySecurityGroup", "DatabaseSecurityGroup", 3306, 3306, "tcp"),
        ("FunctionsSecurityGroup", "CacheSecurityGroup", 6379, 6379, "tcp"),
        ("FunctionsSecurityGroup", "SearchSecurityGroup", 443, 443, "tcp"),
        ("FunctionsSecurityGroup", "EndpointsSecurityGroup", 443, 443, "tcp"),
    }
    assert not any("Cidr" in name for flow in flows for name in flow)


@pytest.mark.parametrize("name", resources("AWS::EC2::SecurityGroup", STORES))
def test_a_security_group_lets_nobody_in_by_itself_and_says_where_it_lets_out(name: str) -> None:
    group = resources("AWS::EC2::SecurityGroup", STORES)[name]

    assert "SecurityGroupIngress" not in group
    [way_out] = group["SecurityGroupEgress"]
    of_functions = (443, "0.0.0.0/0") if name == "FunctionsSecurityGroup" else (None, "127.0.0.1/32")
    assert (way_out.get("FromPort"), way_out["CidrIp"]) == of_functions


def test_stores_have_no_route_to_anywhere() -> None:
    associations = resources("AWS::EC2::SubnetRouteTableAssociation", STORES).values()
    of_stores = [a["RouteTableId"] for a in associations if a["SubnetId"]["Ref"].startswith("Stores")]
    routed = [route["RouteTableId"] for route in resources("AWS::EC2::Route", STORES).values()]

    assert of_stores == [{"Ref": "InnerRoutes"}] * 2
    assert {"Ref": "InnerRoutes"} not in routed


def test_the_proxy_says_to_the_database_what_functions_and_migrations_say_to_it() -> None:
    """What they set themselves it does not carry from one connection of its own to the next."""
    pool = the("AWS::RDS::DBProxyTargetGroup")["ConnectionPoolConfigurationInfo"]
    waits_for_tables = re.search(
        r"_TABLE_WAIT_SECONDS = (\d+)", (TEMPLATE.parent / "migrations" / "env.py").read_text()
    )

    assert waits_for_tables is not None
    said = f"innodb_lock_wait_timeout = {stores._LOCK_WAIT_SECONDS}, lock_wait_timeout = {waits_for_tables[1]}"
    assert pool["InitQuery"] == f"SET SESSION {said}"


def test_only_nat_gateways_stand_in_public_subnets() -> None:
    public = {"PublicSubnetA", "PublicSubnetB"}
    users = {
        name
        for name, resource in template(STORES)["Resources"].items()
        if public & set(found("Ref", resource.get("Properties", {})))
    }

    assert users == {"NatA", "NatB", "PublicRoutesOfA", "PublicRoutesOfB"}
    assert not any(subnet.get("MapPublicIpOnLaunch") for subnet in resources("AWS::EC2::Subnet", STORES).values())


def test_the_migration_can_tell_cloudformation_how_it_went() -> None:
    """It does so by storing an object in a bucket that is none of the account's."""
    [gateway] = [e for e in resources("AWS::EC2::VPCEndpoint", STORES).values() if e["VpcEndpointType"] == "Gateway"]
    [told] = [s for s in gateway["PolicyDocument"]["Statement"] if "Condition" not in s]

    assert told["Action"] == "s3:PutObject"
    assert told["Resource"]["Sub"].endswith(":cloudformation-custom-resource-response-*")


def test_each_kind_of_subnet_is_in_two_zones() -> None:
    zones: dict[str, set[str]] = {}
    for name, subnet in resources("AWS::EC2::Subnet", STORES).items():
        zones.setdefault(name[:-1], set()).add(subnet["AvailabilityZone"]["Select"][0]["Ref"])

    assert set(zones) == {"PublicSubnet", "StoresSubnet", "InnerSubnet", "OutwardSubnet"}
    assert all(of_kind == {"FirstZone", "SecondZone"} for of_kind in zones.values())


def test_no_endpoint_takes_over_the_names_of_public_apis() -> None:
    services = [e["ServiceName"]["Sub"] for e in resources("AWS::EC2::VPCEndpoint", STORES).values()]

    assert {service.rpartition(".")[2] for service in services} == {
        "s3",
        "secretsmanager",
        "sns",
        "sqs",
        "data-servicediscovery",
    }


def test_everything_at_rest_is_encrypted_by_a_key_that_rotates_and_outlives_the_stack() -> None:
    assert (the("AWS::RDS::DBCluster")["StorageEncrypted"], the("AWS::RDS::DBCluster")["KmsKeyId"]) == (True, KEY)
    assert the("AWS::RDS::DBCluster")["MasterUserSecret"] == {"KmsKeyId": KEY}
    assert {i["PerformanceInsightsKMSKeyId"]["GetAtt"] for i in resources("AWS::RDS::DBInstance", STORES).values()} == {
        "Key.Arn"
    }
    cache = the("AWS::ElastiCache::ReplicationGroup")
    assert (cache["AtRestEncryptionEnabled"], cache["KmsKeyId"]) == (True, KEY)
    assert the("AWS::OpenSearchService::Domain")["EncryptionAtRestOptions"] == {"Enabled": True, "KmsKeyId": KEY}
    assert the("AWS::KMS::Key")["EnableKeyRotation"] is True
    assert template(STORES)["Resources"]["Key"]["DeletionPolicy"] == "Retain"


def test_everything_on_the_way_is_encrypted() -> None:
    assert the("AWS::RDS::DBProxy")["RequireTLS"] is True
    assert the("AWS::RDS::DBClusterParameterGroup")["Parameters"]["require_secure_transport"] == "ON"
    cache = the("AWS::ElastiCache::ReplicationGroup")
    assert (cache["TransitEncryptionEnabled"], cache["TransitEncryptionMode"]) == (True, "required")
    search = the("AWS::OpenSearchService::Domain")
    assert search["NodeToNodeEncryptionOptions"] == {"Enabled": True}
    assert search["DomainEndpointOptions"]["EnforceHTTPS"] is True
    assert "TLS-1-2" in search["DomainEndpointOptions"]["TLSSecurityPolicy"]


def test_the_database_is_neither_public_nor_deleted_by_a_slip_and_leaves_a_snapshot() -> None:
    database = template(STORES)["Resources"]["Database"]

    assert database["Properties"]["DeletionProtection"] is True
    assert (database["DeletionPolicy"], database["UpdateReplacePolicy"]) == ("Snapshot", "Snapshot")
    assert {i["PubliclyAccessible"] for i in resources("AWS::RDS::DBInstance", STORES).values()} == {False}


def test_everybody_signs_in_by_iam_and_the_one_password_is_made_and_kept_by_rds() -> None:
    database, proxy = the("AWS::RDS::DBCluster"), the("AWS::RDS::DBProxy")

    assert (database["EnableIAMDatabaseAuthentication"], database["ManageMasterUserPassword"]) == (True, True)
    assert "MasterUserPassword" not in database
    assert proxy["DefaultAuthScheme"] == "IAM_AUTH"
    assert [sign_in["IAMAuth"] for sign_in in proxy["Auth"]] == ["REQUIRED"]
    assert the("AWS::ElastiCache::User")["AuthenticationMode"] == {"Type": "iam"}
    security = the("AWS::OpenSearchService::Domain")["AdvancedSecurityOptions"]
    assert (security["Enabled"], security["InternalUserDatabaseEnabled"]) == (True, False)
    assert not any(parameter.get("NoEcho") for parameter in template(STORES)["Parameters"].values())


@pytest.mark.parametrize("output", ["DatabaseUrl", "DatabaseOwnerUrl", "RedisUrl", "OpenSearchUrl"])
def test_no_address_holds_a_password(output: str) -> None:
    address = re.sub(r"\$\{[^}]*\.Port\}", "1", template(STORES)["Outputs"][output]["Value"]["Sub"])

    assert sa.make_url(re.sub(r"\$\{[^}]*\}", "host", address)).password is None


def test_the_users_of_the_database_are_the_same_wherever_they_are_named() -> None:
    outputs = template(STORES)["Outputs"]
    functions, owner = (
        sa.make_url(outputs[name]["Value"]["Sub"].replace("${Proxy.Endpoint}", "host")).username
        for name in ("DatabaseUrl", "DatabaseOwnerUrl")
    )

    assert outputs["DatabaseUserArn"]["Value"]["Sub"][0].endswith(f"/{functions}")
    assert outputs["DatabaseOwnerArn"]["Value"]["Sub"][0].endswith(f"/{owner}")
    assert the("AWS::RDS::DBCluster")["MasterUsername"]["If"][2] == owner
    connects = resources("AWS::IAM::Role", STORES)["ProxyRole"]["Policies"][0]["PolicyDocument"]["Statement"][0]
    assert connects["Resource"]["Sub"].endswith(f"/{functions}")


def test_functions_may_do_in_the_cache_what_they_may_in_the_local_one() -> None:
    user = the("AWS::ElastiCache::User")

    assert user["AccessString"] == CACHE_ACCESS
    assert user["UserId"] == user["UserName"]  # ElastiCache user guide, IAM authentication


@pytest.mark.parametrize("size", SIZES)
def test_a_size_says_everything_and_keeps_backups_for_a_week_at_least(size: str) -> None:
    asked = {key for _, _, key in found("FindInMap", template(STORES)["Resources"])}

    assert set(SIZES[size]) == asked
    assert SIZES[size]["BackupDays"] >= 7
    assert 0 < SIZES[size]["DatabaseMinimum"] < SIZES[size]["DatabaseMaximum"]
    assert (SIZES[size]["CacheNodes"] >= 2) == (SIZES[size]["SearchNodes"] >= 2) == (size != "dev")


def test_what_one_may_choose_is_there() -> None:
    for parameter in ("Size", "AwsCalls"):
        offered, understood = (template(file)["Parameters"][parameter]["AllowedValues"] for file in (TEMPLATE, STORES))
        assert offered == understood
    assert list(SIZES) == template(STORES)["Parameters"]["Size"]["AllowedValues"]


def test_the_deployment_gives_the_stores_what_they_ask_for_and_asks_for_what_they_tell() -> None:
    given = template()["Resources"]["Stores"]["Properties"]["Parameters"]
    used = set(re.findall(r"Stores\.Outputs\.(\w+)", str(template())))

    assert set(given) == set(template(STORES)["Parameters"])
    assert used == set(template(STORES)["Outputs"])


def test_whoever_calls_the_internet_has_a_way_there_and_nobody_else() -> None:
    by_default = template()["Globals"]["Function"]["VpcConfig"]
    outward = {name for name, function in FUNCTIONS.items() if "OutwardSubnets" in str(function.get("VpcConfig"))}

    assert "InnerSubnets" in str(by_default)
    assert outward == importers(CALLERS)


def test_whoever_reads_the_database_may_and_nobody_else() -> None:
    assert allowed("DatabaseAccess") == importers({"hongyan.unit_of_work", "hongyan.outbox", "hongyan.reindexing"})


def test_whoever_uses_the_cache_may_and_nobody_else() -> None:
    assert allowed("CacheAccess") == importers(CACHE_USERS)


def test_whoever_searches_may_and_nobody_else() -> None:
    roles = FUNCTIONS["MigrationFunction"]["Environment"]["Variables"]
    readers, writers = (
        {arn.removesuffix("Role.Arn") for arn in re.findall(r"\$\{(\w+\.Arn)\}", str(roles[name]["If"][1]))}
        for name in ("SEARCH_READER_ROLES", "SEARCH_WRITER_ROLES")
    )

    assert readers | writers == importers({"hongyan.search_index"})
    assert readers == allowed("UserSearchAccess") | allowed("MessageSearchAccess")
    assert writers == allowed("IndexAccess")
    assert writers == importers({"hongyan.reindexing"}) | {"UserIndexFunction", "MessageIndexFunction"}


def test_the_owner_of_the_database_is_the_migration_function_alone() -> None:
    users = [name for name, function in FUNCTIONS.items() if "OwnerSecret" in str(function)]

    assert users == ["MigrationFunction"]
    assert allowed("OwnerAccess") == allowed("MigrationPolicy") == {"MigrationFunction"}
