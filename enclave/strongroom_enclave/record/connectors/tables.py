"""The venues, one table each. What is one account here: all wallets that a table names.

Transfers between those are no events; to and from an owner's other wallets they are.
"""

from typing import Final

from ccxt.binance import binance
from ccxt.bitget import bitget
from ccxt.bybit import bybit
from ccxt.mexc import mexc

from strongroom_enclave.record.connectors.rules import Venue, rules, text

__all__ = ["VENUES"]

# Spot and USD-M. Income tells also what trades did and what moved between these two wallets.
_BINANCE: Final = """
= trades privateGetMyTrades TRADE each=SPOT size=1000 from_id=fromId .id=id .time=time
  .symbol=symbol .side=isBuyer .amount=qty .price=price .fee=commission .asset=commissionAsset
= contract-trades fapiPrivateGetUserTrades TRADE each=LINEAR contracts=true size=1000
  from_id=fromId depth=182 .id=id .time=time .symbol=symbol .side=buyer .amount=qty .price=price
  .fee=commission .asset=commissionAsset
= deposits sapiGetCapitalDepositHisrec DEPOSIT size=1000 span=90 done=1,6 void=2,7 .id=id
  .time=insertTime .asset=coin .amount=amount .status=status
= withdrawals sapiGetCapitalWithdrawHistory -WITHDRAWAL size=1000 span=90 done=6 void=1,3,5 .id=id
  .time=applyTime .asset=coin .amount=amount .fee=transactionFee .status=status
= income fapiPrivateGetIncome KIND size=1000 span=30 depth=90 page=page .id=tranId .time=time
  .asset=asset .amount=income .kind=incomeType :COMMISSION=SKIP :REALIZED_PNL=SKIP :TRANSFER=SKIP
  :FUNDING_FEE=FUNDING :INSURANCE_CLEAR=FEE :COMMISSION_REBATE=REBATE :REFERRAL_KICKBACK=REBATE
  :API_REBATE=REBATE :FEE_RETURN=REBATE :POSITION_LIMIT_INCREASE_FEE=FEE :WELCOME_BONUS=TRANSFER
  :CONTEST_REWARD=TRANSFER
= spot privateGetAccount BALANCE rows=balances .asset=asset .plus=free,locked
= contracts fapiPrivateV3GetAccount BALANCE rows=assets .asset=asset .plus=walletBalance
"""
_BINANCE_TRANSFERS: Final = """
= {0}-to-{1} sapiGetAssetTransfer {2} ?type={0}_{1} rows=rows size=100 size_as=size page=current
  span=30 depth=182 done=CONFIRMED void=FAILED .id=tranId .time=timestamp .asset=asset
  .amount=amount .status=status
"""
# The unified account and the funding wallet. A list of executions holds funding as well.
_BYBIT: Final = """
= deposits privateGetV5AssetDepositQueryRecord DEPOSIT rows=result.rows size=50 span=30
  cursor=cursor next=result.nextPageCursor done=3,10012 void=4 .id=id .time=successAt .asset=coin
  .amount=amount .status=status
= withdrawals privateGetV5AssetWithdrawQueryRecord -WITHDRAWAL ?withdrawType=2 rows=result.rows
  size=50 span=30 cursor=cursor next=result.nextPageCursor done=success,BlockchainConfirmed
  void=CancelByUser,Reject,Fail .id=withdrawId .time=createTime .asset=coin .amount=amount
  .fee=withdrawFee .status=status
= transfers privateGetV5AssetTransferQueryInterTransferList KIND rows=result.list size=50 span=7
  cursor=cursor next=result.nextPageCursor done=SUCCESS void=FAILED .id=transferId .time=timestamp
  .asset=coin .amount=amount .status=status .kind=fromAccountType+toAccountType :FUND+UNIFIED=SKIP
  :UNIFIED+FUND=SKIP :FUND+CONTRACT=-TRANSFER :CONTRACT+FUND=TRANSFER :UNIFIED+CONTRACT=-TRANSFER
  :CONTRACT+UNIFIED=TRANSFER :FUND+SPOT=-TRANSFER :SPOT+FUND=TRANSFER :UNIFIED+SPOT=-TRANSFER
  :SPOT+UNIFIED=TRANSFER :FUND+INVESTMENT=-TRANSFER :INVESTMENT+FUND=TRANSFER
  :UNIFIED+INVESTMENT=-TRANSFER :INVESTMENT+UNIFIED=TRANSFER
= unified privateGetV5AccountWalletBalance BALANCE ?accountType=UNIFIED rows=result.list.0.coin
  .asset=coin .plus=walletBalance
= funding privateGetV5AssetTransferQueryAccountCoinsBalance BALANCE ?accountType=FUND
  rows=result.balance .asset=coin .plus=walletBalance
"""
_BYBIT_EXECUTIONS: Final = """
= {0}-executions privateGetV5ExecutionList KIND ?category={0} contracts={1} rows=result.list
  size=100 span=7 depth=730 cursor=cursor next=result.nextPageCursor .kind=execType :Trade=TRADE
  :AdlTrade=TRADE :BustTrade=TRADE :BlockTrade=TRADE :Funding=FUNDING .id=execId .time=execTime
  .symbol=symbol .side=side .amount=execQty .price=execPrice .fee=execFee .asset=feeCurrency
  .paid=execFee
"""
# Spot and USDT-M of a classic account. A withdrawal's size is all that left, its fee within it.
_BITGET: Final = """
= trades privateSpotGetV2SpotTradeFills TRADE each=SPOT rows=data size=100 span=90 depth=90
  below_id=idLessThan .id=tradeId .time=cTime .symbol=symbol .side=side .amount=size
  .price=priceAvg .rebated=feeDetail.totalFee .asset=feeDetail.feeCoin
= contract-trades privateMixGetV2MixOrderFills TRADE ?productType=USDT-FUTURES contracts=true
  rows=data.fillList size=100 span=7 depth=90 below_id=idLessThan .id=tradeId .time=cTime
  .symbol=symbol .side=side .amount=baseVolume .price=price .rebated=feeDetail.0.totalFee
  .asset=feeDetail.0.feeCoin
= funding privateMixGetV2MixAccountBill FUNDING ?productType=USDT-FUTURES
  ?businessType=contract_settle_fee rows=data.bills size=100 span=30 depth=90 below_id=idLessThan
  .id=billId .time=cTime .asset=coin .amount=amount
= deposits privateSpotGetV2SpotWalletDepositRecords DEPOSIT rows=data size=100 span=90 depth=90
  below_id=idLessThan done=success void=fail .id=orderId .time=cTime .asset=coin .amount=size
  .status=status
= withdrawals privateSpotGetV2SpotWalletWithdrawalRecords -WITHDRAWAL rows=data size=100 span=90
  depth=90 below_id=idLessThan done=success void=fail .id=orderId .time=cTime .asset=coin
  .amount=size .status=status
= spot privateSpotGetV2SpotAccountAssets BALANCE ?assetType=all rows=data .asset=coin
  .plus=available,frozen,locked
= contracts privateMixGetV2MixAccountAccounts BALANCE ?productType=USDT-FUTURES rows=data
  .asset=marginCoin .plus=accountEquity .minus=unrealizedPL
"""
# Spot and contracts. Funding is asked for without times. A withdrawal's fee is within its amount.
_MEXC: Final = """
= trades spotPrivateGetMyTrades TRADE each=SPOT size=100 span=30 depth=30 .id=id .time=time
  .symbol=symbol .side=isBuyer .amount=qty .price=price .fee=commission .asset=commissionAsset
= contract-trades contractPrivateGetOrderListOrderDeals TRADE each=LINEAR contracts=true rows=data
  since_as=start_time until_as=end_time size=100 size_as=page_size page=page_num span=30 depth=90
  .id=id .time=timestamp .symbol=symbol .side=side .amount=vol .price=price .fee=fee
  .asset=feeCurrency
= funding contractPrivateGetPositionFundingRecords FUNDING contracts=true rows=data.resultList
  since_as= size=100 size_as=page_size page=page_num span=3650 .id=id .time=settleTime
  .symbol=symbol .amount=funding
= deposits spotPrivateGetCapitalDepositHisrec DEPOSIT size=1000 span=7 depth=90 done=5,12
  void=7,8,10 .id=txId .time=insertTime .asset=coin .amount=amount .status=status
= withdrawals spotPrivateGetCapitalWithdrawHistory -WITHDRAWAL size=1000 span=7 depth=90 done=7
  void=8,9 .id=id .time=applyTime .asset=coin .amount=amount .status=status
= spot spotPrivateGetAccount BALANCE rows=balances .asset=asset .plus=free,locked
= contracts contractPrivateGetAccountAssets BALANCE rows=data .asset=currency .plus=equity
  .minus=unrealized
"""


def _binance_reads_only(answer: object) -> bool:
    allowed = answer.items() if isinstance(answer, dict) else ()
    # Whatever else is true lets the key do something, known here or not.
    granted = {name for name, value in allowed if value is True}
    return "enableReading" in granted <= {"enableReading", "ipRestrict", "enableFixReadOnly"}


def _bybit_reads_only(answer: object) -> bool:
    return text(answer, "result.readOnly") == "1"


# Each way between one of the two wallets and one of the owner's others.
_OTHERS: Final = ("FUNDING", "MARGIN", "CMFUTURE", "OPTION")
_PAIRS: Final = [(own, other) for own in ("MAIN", "UMFUTURE") for other in _OTHERS]
_WAYS: Final = [(a, b, "-TRANSFER") for a, b in _PAIRS] + [(b, a, "TRANSFER") for a, b in _PAIRS]
_BINANCE_WHOLE: Final = _BINANCE + "".join(_BINANCE_TRANSFERS.format(*way) for way in _WAYS)
_LISTS: Final = (("spot", "false"), ("linear", "true"), ("inverse", "true"))
_BYBIT_WHOLE: Final = _BYBIT + "".join(_BYBIT_EXECUTIONS.format(*each) for each in _LISTS)
_SETTLED: Final = ({"settleCoin": "USDT"}, {"settleCoin": "USDC"}, {"subType": "inverse"})
_BINANCE_ACCESS: Final = ("sapiGetAccountApiRestrictions", _binance_reads_only)
_BYBIT_ACCESS: Final = ("privateGetV5UserQueryApi", _bybit_reads_only)
_SWAPS: Final = ({"type": "swap", "subType": "linear"},)

VENUES: Final = {
    "binance": Venue(binance, "spot linear", rules(_BINANCE_WHOLE), _SWAPS, _BINANCE_ACCESS),
    "bitget": Venue(bitget, "spot swap", rules(_BITGET), ({"productType": "USDT-FUTURES"},)),
    "bybit": Venue(bybit, "spot linear inverse", rules(_BYBIT_WHOLE), _SETTLED, _BYBIT_ACCESS),
    "mexc": Venue(mexc, "", rules(_MEXC), _SWAPS),
}
